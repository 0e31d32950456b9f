"""The time of day is set back or forward, or two replicas differ: nobody is logged out."""

import time
from pathlib import Path
from typing import Any

import pytest

from mintage.app.clocks import Clocks, StoreClock
from mintage.stores.protocol import Status
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from tests.support.faulty_store import FaultyStore
from tests.support.replicas import replica
from tests.support.world import World, opened_world


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


class TestTheStoresClock:
    """PostgreSQL and Redis have one of their own, and all replicas go by it."""

    async def clock_of(self, local: float, store: float | None) -> tuple[StoreClock, ManualClock]:
        steady = ManualClock(1000)
        engine = FaultyStore(ManualClock(local), state=Status(store))
        clock = StoreClock(Clocks(ManualClock(local), steady))
        await clock.follow(engine)
        return clock, steady

    @pytest.mark.parametrize("skew", [-3600, -30, -7, 0, 7, 90, 3600])
    async def test_is_the_time_of_every_replica(self, skew: float) -> None:
        clock, steady = await self.clock_of(2_000_000_000 + skew, 2_000_000_000)
        steady.advance(10)
        assert clock() == 2_000_000_010
        assert clock.ahead == skew

    async def test_of_a_store_without_one_the_machine_decides(self) -> None:
        clock, _ = await self.clock_of(2_000_000_000, None)
        assert clock() == 2_000_000_000

    async def test_that_is_a_day_off_is_not_followed(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, _ = await self.clock_of(2_000_000_000, 2_000_090_000)
        assert clock() == 2_000_000_000
        assert "Mintage uses its own" in caplog.text

    @pytest.mark.xdist_group("redis")
    @pytest.mark.parametrize("skew", [-3600, 90, 3600])
    async def test_a_replica_far_off_refuses_nobody(
        self, upstream: FakeUpstream, redis_url: str, tmp_path: Path, skew: int
    ) -> None:
        upstream.clock = time.time
        overrides = {"store": redis_url}
        async with opened_world(time.time, upstream, tmp_path, overrides, {}) as world:  # type: ignore[arg-type]
            client, tokens = await tokens_of(world)
            first = await client.refresh(tokens["refresh_token"])
            async with replica(world, clock=lambda: time.time() + skew) as other:
                there = other.seen_by(client)
                assert (await there.call(first.json()["access_token"])).status_code == 200
                again = await there.refresh(tokens["refresh_token"])
                assert again.json()["refresh_token"] == first.json()["refresh_token"]
                async with world.browser() as browser:
                    login, code = await client.log_in(browser)
                assert (await there.redeem(login, code)).status_code == 200
