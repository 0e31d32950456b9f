"""A shorter lifetime in the settings holds for logins that were made before."""

from typing import Any

import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.support.replicas import replica
from tests.support.world import World


@pytest.fixture
def world_store(tmp_path: Any) -> str:
    return f"sqlite://{tmp_path}/mintage.db"


async def logged_in(world: World) -> tuple[OAuthClient, dict[str, Any]]:
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def test_attack_e07_a_shorter_session_ends_tokens_and_refreshes(
    world: World,
) -> None:
    client, tokens = await logged_in(world)
    assert tokens["expires_in"] == 3600
    world.clock.advance(600)
    async with replica(world, grants={"session_lifetime": 900}) as strict:
        there = strict.seen_by(client)
        assert (await there.call(tokens["access_token"])).status_code == 200
        rotated = await there.refresh(tokens["refresh_token"])
        assert rotated.json()["expires_in"] == 300  # it says when the login ends
        world.clock.advance(305)  # with the leeway for clocks
        assert (await there.call(tokens["access_token"])).status_code == 401
        assert (await there.call(rotated.json()["access_token"])).status_code == 401
        refused = await there.refresh(rotated.json()["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        await strict.running.revoker.drain()
        assert world.upstream.seen["revoke"] == 1
    # It has ended for all replicas, also for one with a longer lifetime.
    assert (await client.call(tokens["access_token"])).status_code == 401


async def test_attack_e07_a_shorter_idle_lifetime_counts_from_a_refresh(
    world: World,
) -> None:
    client, tokens = await logged_in(world)
    async with replica(world, grants={"idle_lifetime": 7200}) as strict:
        there = strict.seen_by(client)
        for _ in range(3):
            world.clock.advance(7000)
            answer = await there.refresh(tokens["refresh_token"])
            assert answer.status_code == 200
            tokens = answer.json()
        world.clock.advance(7200)
        refused = await there.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("at_once", [False, True])
async def test_attack_e07_a_shorter_refresh_token_lifetime_holds_for_older_tokens(
    world: World,
    at_once: bool,  # noqa: FBT001
) -> None:
    client, tokens = await logged_in(world)
    world.clock.advance(100_000)
    async with replica(world, tokens={"refresh_token_lifetime": 90_000}) as strict:
        there = strict.seen_by(client)
        if at_once:
            refused = await there.refresh(tokens["refresh_token"])
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        else:
            renewed = await client.refresh(tokens["refresh_token"])  # at the replica from before
            assert (await there.refresh(renewed.json()["refresh_token"])).status_code == 200


async def test_the_list_of_grants_says_when_they_end(world: World) -> None:
    await logged_in(world)
    now = int(world.clock())
    async with replica(world, grants={"session_lifetime": 9000, "idle_lifetime": 8000}) as strict:
        vault = strict.running.vault
        (grant,) = [each async for each in vault.listing.find()]
        assert vault.lifetimes.lasts_until(grant) == now + 8000
    async with replica(world, grants={"session_lifetime": 9000}) as strict:
        vault = strict.running.vault
        assert vault.lifetimes.lasts_until(grant) == now + 9000
