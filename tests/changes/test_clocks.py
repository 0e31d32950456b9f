"""The time of day is set back or forward, or two replicas differ: nobody is logged out."""

from pathlib import Path
from typing import Any

import pytest

from mintage.testing.clock import ManualClock
from tests.changes.replicas import replica
from tests.conftest import World


@pytest.fixture
def world_store(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/mintage.db"


@pytest.fixture
def steady() -> ManualClock:
    return ManualClock(1000)


@pytest.fixture
def parts(steady: ManualClock) -> dict[str, Any]:
    return {"steady": steady}


async def tokens_of(world: World) -> tuple[Any, dict[str, Any]]:
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


@pytest.mark.parametrize("step", [-3600, -30, -7, 7, 90])
async def test_a_login_outlives_a_step_of_the_clock(world: World, step: int) -> None:
    client, tokens = await tokens_of(world)
    world.clock.advance(step)
    assert (await client.call(tokens["access_token"])).status_code == 200
    fresh = await client.refresh(tokens["refresh_token"])
    assert fresh.status_code == 200
    assert (await client.call(fresh.json()["access_token"])).status_code == 200


@pytest.mark.parametrize("step", [90, 3600])
async def test_a_repeated_refresh_is_no_theft_because_the_clock_was_set_forward(
    world: World, steady: ManualClock, step: int
) -> None:
    """Thirty seconds have passed, whatever the time of day says."""
    client, tokens = await tokens_of(world)
    first = await client.refresh(tokens["refresh_token"])
    world.clock.advance(step)
    steady.advance(30)
    again = await client.refresh(tokens["refresh_token"])
    assert again.status_code == 200
    assert again.json()["refresh_token"] == first.json()["refresh_token"]


async def test_a_theft_is_one_although_the_clock_was_set_back(
    world: World, steady: ManualClock
) -> None:
    client, tokens = await tokens_of(world)
    await client.refresh(tokens["refresh_token"])
    world.clock.advance(-3600)
    steady.advance(61)
    assert (await client.refresh(tokens["refresh_token"])).status_code == 400


@pytest.mark.parametrize("skew", [-3600, -30, -7, 7])
async def test_a_replica_whose_clock_differs_refuses_nobody(world: World, skew: int) -> None:
    client, tokens = await tokens_of(world)
    async with replica(world, clock=ManualClock(world.clock() + skew)) as other:
        there = other.seen_by(client)
        assert (await there.call(tokens["access_token"])).status_code == 200
        fresh = await there.refresh(tokens["refresh_token"])
        assert fresh.status_code == 200
    assert (await client.call(fresh.json()["access_token"])).status_code == 200
    assert (await client.refresh(fresh.json()["refresh_token"])).status_code == 200


async def test_a_login_waits_for_a_pause_and_not_for_the_length_of_a_step(
    world: World, steady: ManualClock, upstream: Any
) -> None:
    """After a failure the provider is left alone for some seconds; an hour's step is no part."""
    client = await world.client()
    upstream.faults["discovery"] = "503"
    assert (await world.http.get(client.authorization().url)).status_code == 200
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        assert (await browser.submit(page, {"decision": "approve"})).status == 503
    upstream.faults.clear()
    world.clock.advance(-3600)
    steady.advance(60)
    async with world.browser() as browser:
        await client.tokens(browser)
