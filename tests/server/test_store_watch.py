"""The chores beside the requests, and the store's clock against ours."""

import asyncio
import contextlib
import logging
from typing import Any

import jsonschema_rs
import pytest

from mintage.app.chores import end, forever
from mintage.app.store_watch import clock_warning, greet, sweep
from mintage.server.openapi import describe
from mintage.stores.protocol import SWEEP_MARGIN, Status
from mintage.testing.clock import ManualClock
from tests.support.faulty_store import FaultyStore
from tests.support.world import World


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (1000.0, None),
        (1005.0, None),
        (994.0, "6 s behind the store's"),
        (1007.0, "7 s ahead of the store's"),
        (4600.0, "3600 s ahead of the store's"),
    ],
)
def test_the_clocks_are_compared(ours: float, said: str | None) -> None:
    assert clock_warning(Status(1000.0), ours) == said


def test_an_engine_without_a_clock_warns_of_none() -> None:
    assert clock_warning(Status(), 5.0) is None


async def test_a_start_says_what_is_wrong_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    await greet(FaultyStore(clock, state=Status(clock.now, ("it is full",))))
    assert "it is full" in caplog.text
    store = FaultyStore(clock)
    store.failing = 1
    await greet(store)
    assert "did not report its status: no connection" in caplog.text


async def test_readyz_shows_the_clock_and_stays_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def status() -> Status:
        return Status(world.clock() - 12, ("the queue is full",), notification_queue_usage=0.75)

    monkeypatch.setattr(world.running.store, "status", status)
    answer = await world.http.get(f"{world.issuer}/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "store": "ok",
        "upstream": "ok",
        "clock": "12 s ahead of the store's",
        "notices": "the queue is full",
        "clock_ahead_seconds": 12.0,
        "notification_queue_usage": 0.75,
    }
    schema = _declared(world)
    assert jsonschema_rs.is_valid(schema, answer.json())
    assert not jsonschema_rs.is_valid(schema, {"store": "so so"})


async def test_readyz_has_the_numbers_also_when_all_is_well(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def status() -> Status:
        return Status(world.clock() + 0.5, notification_queue_usage=0.0)

    monkeypatch.setattr(world.running.store, "status", status)
    answer = await world.http.get(f"{world.issuer}/readyz")
    assert answer.json() == {
        "store": "ok",
        "upstream": "ok",
        "clock_ahead_seconds": -0.5,
        "notification_queue_usage": 0.0,
    }
    assert "clock_ahead" not in caplog.text


def _declared(world: World) -> Any:
    document = describe(world.running.site, world.config.capabilities)
    said = document["paths"]["/readyz"]["get"]["responses"]["200"]
    return said["content"]["application/json"]["schema"]


async def test_a_server_that_is_far_ahead_sweeps_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    store = FaultyStore(clock, state=Status(clock.now))
    await store.insert(b"code", b"fresh", None, int(clock.now) + 60)
    clock.advance(3600)
    await sweep(store, clock)
    assert len(store) == 1
    assert "removes no expired records" in caplog.text
    store.state = Status(clock.now)
    await sweep(store, clock)
    assert len(store) == 0


async def test_one_round_takes_all_that_is_due() -> None:
    clock = ManualClock()
    store = FaultyStore(clock, state=Status(clock.now + 100 + SWEEP_MARGIN))
    for n in range(2500):
        await store.insert(b"%d" % n, b"", None, int(clock.now) + 1)
    clock.advance(100 + SWEEP_MARGIN)
    await sweep(store, clock)
    assert len(store) == 0


async def test_a_chore_survives_an_error_that_nobody_expected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        raise ValueError("a damaged field")

    chore = asyncio.create_task(forever("sweep", work, pause=0))
    async with asyncio.timeout(5):
        while rounds < 3:
            await asyncio.sleep(0)
    chore.cancel()
    assert caplog.records[0].levelno == logging.ERROR
    assert "sweep" in caplog.records[0].getMessage()


async def test_a_chore_whose_driver_loses_a_cancellation_ends_all_the_same() -> None:
    begun = asyncio.Event()

    async def losing_one() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    chore = asyncio.create_task(losing_one())
    await begun.wait()
    async with asyncio.timeout(10):
        await end([chore])
    assert chore.cancelled()
