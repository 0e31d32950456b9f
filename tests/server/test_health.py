"""``/healthz`` and ``/readyz``."""

import pytest

from tests.support.faulty_store import failing
from tests.support.world import World


async def test_a_process_that_answers_is_alive(world: World) -> None:
    world.upstream.faults["discovery"] = "500"
    answer = await world.http.get(f"{world.issuer}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_it_is_ready_when_store_and_provider_are(world: World) -> None:
    answer = await world.http.get(f"{world.issuer}/readyz")
    assert (answer.status_code, answer.json()) == (200, {"store": "ok", "upstream": "ok"})


async def test_it_says_what_is_missing_and_not_why(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with failing(world.running.store):
        answer = await world.http.get(f"{world.issuer}/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {"store": "unavailable", "upstream": "ok"}
    assert "no connection" in caplog.text


async def test_a_provider_that_is_not_there_yet_makes_it_wait(world: World) -> None:
    world.upstream.faults["discovery"] = "500"
    answer = await world.http.get(f"{world.issuer}/readyz")
    assert answer.json() == {"store": "ok", "upstream": "unavailable"}
    world.upstream.faults.clear()
    world.clock.advance(3)
    assert (await world.http.get(f"{world.issuer}/readyz")).status_code == 200
