"""What a login, a refresh and a request ask of the store: the figures of docs/scaling.md."""

from typing import Any

import pytest

from mintage.testing.counting_store import CountingStore
from tests.support.world import World

A_FEW_BYTES = 16

pytestmark = pytest.mark.usefixtures("stores")


async def tokens(world: World) -> dict[str, Any]:
    client = await world.client()
    async with world.browser() as browser:
        return await client.tokens(browser) | {"client": client}


async def test_a_login_writes_three_times_one_of_them_a_claim(
    stores: list[CountingStore], world: World
) -> None:
    (store,) = stores
    client = await world.client()
    assert store.writes == 0, "a registration is kept by the client"
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    assert store.seen["insert"] == 2
    assert store.lengths[0] <= A_FEW_BYTES
    assert (await client.redeem(login, code)).status_code == 200
    assert (store.writes, store.seen["replace"], store.seen["list"]) == (3, 1, 2)


async def test_a_refresh_reads_once_and_writes_once(
    stores: list[CountingStore], world: World
) -> None:
    (store,) = stores
    issued = await tokens(world)
    store.forget()
    answer = await issued["client"].refresh(issued["refresh_token"])
    assert answer.status_code == 200
    assert store.seen == {"load": 1, "replace": 1}


async def test_a_refresh_that_asks_the_provider_reads_twice_and_writes_twice(
    stores: list[CountingStore], world: World
) -> None:
    """The lease, and then the provider's new tokens and the rotation in one write."""
    (store,) = stores
    issued = await tokens(world)
    world.clock.advance(3600)
    store.forget()
    answer = await issued["client"].refresh(issued["refresh_token"])
    assert answer.status_code == 200
    assert world.upstream.seen["refresh_token"] == 1
    assert store.seen == {"load": 2, "replace": 2}


async def test_a_request_reads_once_and_then_from_memory(
    stores: list[CountingStore], world: World
) -> None:
    (store,) = stores
    issued = await tokens(world)
    store.forget()
    for _ in range(3):
        answer = await issued["client"].call(issued["access_token"])
        assert answer.status_code == 200
    assert store.seen == {"load": 1}
