"""ATTACKS, E23: a person who can write to the store puts an older record back."""

import pytest

from mintage.stores.protocol import Store, Versioned
from tests.support.world import World, every_store

FAR = 2**40


async def the_key(world: World) -> bytes:
    [grant] = [grant async for grant in world.running.vault.listing.find()]
    return grant.key


async def loaded(store: Store, key: bytes) -> Versioned:
    seen = await store.load(key)
    assert seen is not None
    return seen


async def put_back(store: Store, key: bytes, older: Versioned) -> None:
    await store.replace(key, await loaded(store, key), older.record, FAR)


@every_store
class TestE23OlderRecord:
    async def test_attack_e23_a_revocation_is_not_undone_where_it_was_seen(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        store, key = world.running.store, await the_key(world)
        older = await loaded(store, key)
        assert (await client.revoke(tokens["refresh_token"])).status_code == 200
        await put_back(store, key, older)
        world.running.vault._memory.anything_changed()
        refused = await client.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        assert (await client.call(tokens["access_token"])).status_code == 401
        assert "an older record of it is in the store again" in caplog.text

    async def test_attack_e23_the_counter_finds_the_thief_whom_an_older_record_helps(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A spent token works again until its user refreshes: that goes on, and ends the theft."""
        client = await world.client()
        async with world.browser() as browser:
            stolen = await client.tokens(browser)
        store, key = world.running.store, await the_key(world)
        older = await loaded(store, key)
        second = (await client.refresh(stolen["refresh_token"])).json()
        world.clock.advance(120)
        third = (await client.refresh(second["refresh_token"])).json()
        await put_back(store, key, older)
        world.running.vault._memory.anything_changed()
        thiefs = await client.refresh(stolen["refresh_token"])
        assert thiefs.status_code == 200, "this is not promised against who writes to the store"
        users = await client.refresh(third["refresh_token"])
        assert users.status_code == 200
        assert "an older record was put back" in caplog.text
        # At once: the counter has left the thief's generation behind, and grants it no repetition.
        caught = await client.refresh(thiefs.json()["refresh_token"])
        assert (caught.status_code, caught.json()["error"]) == (400, "invalid_grant")
        assert (await client.call(users.json()["access_token"])).status_code == 401
