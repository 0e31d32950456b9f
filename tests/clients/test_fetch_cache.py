"""How long what was fetched is kept, who shares a fetch, and what an outage changes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from mintage.clients.fetch_cache import (
    DEFAULT_SECONDS,
    FAILURE_SECONDS,
    MAX_SECONDS,
    MIN_SECONDS,
    STALE_SECONDS,
    FetchCache,
    lifetime,
)
from mintage.clients.fetching import Fetched
from mintage.errors import FetchError, FetchFailed, FetchRefused
from mintage.testing.clock import ManualClock

URL = "https://client.example/c.json"


@dataclass
class Web:
    """Answers with *body*, or raises it; *fetched* counts."""

    body: bytes | FetchError = b"one"
    cache_control: str = ""
    fetched: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, url: str, *, limit: int) -> Fetched:
        self.fetched += 1
        await self.gate.wait()
        if isinstance(self.body, FetchError):
            raise self.body
        return Fetched(self.body, self.cache_control)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def cache(web: Web, clock: ManualClock) -> FetchCache[bytes]:
    return FetchCache(web, lambda _, body: body, limit=100, size=3, clock=clock)


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", DEFAULT_SECONDS),
        ("public", DEFAULT_SECONDS),
        ("max-age=600", 600),
        ("public, Max-Age = 600", 600),
        ('max-age="600"', 600),
        ("s-maxage=5, max-age=600", 600),
        ("max-age=0", MIN_SECONDS),
        ("no-store", MIN_SECONDS),
        ("max-age=600, no-cache", MIN_SECONDS),
        ("max-age=99999999999999", MAX_SECONDS),
        ("max-age=-1", DEFAULT_SECONDS),
        ("max-age=ü", DEFAULT_SECONDS),
    ],
)
def test_spec050_the_server_says_how_long_within_our_bounds(
    cache_control: str, seconds: int
) -> None:
    assert lifetime(cache_control) == seconds


async def test_what_is_fresh_is_not_fetched_again(
    cache: FetchCache[bytes], web: Web, clock: ManualClock
) -> None:
    web.cache_control = "max-age=100"
    assert await cache.get(URL) == b"one"
    web.body = b"two"
    clock.advance(99)
    assert await cache.get(URL) == b"one"
    clock.advance(1)
    assert await cache.get(URL) == b"two"
    assert web.fetched == 2


async def test_a_hundred_at_once_share_one_fetch(cache: FetchCache[bytes], web: Web) -> None:
    web.gate.clear()
    asking = [asyncio.create_task(cache.get(URL)) for _ in range(100)]
    await asyncio.sleep(0)
    asking.pop().cancel()  # whoever goes away takes nothing from the others
    web.gate.set()
    assert await asyncio.gather(*asking) == [b"one"] * 99
    assert web.fetched == 1


@pytest.mark.parametrize("problem", [FetchFailed("away"), FetchRefused("no")])
async def test_spec050_a_failure_is_remembered_for_a_moment(
    cache: FetchCache[bytes], web: Web, clock: ManualClock, problem: FetchError
) -> None:
    web.body = problem
    for _ in range(5):
        with pytest.raises(type(problem)):
            await cache.get(URL)
    assert web.fetched == 1
    web.body = b"two"
    clock.advance(FAILURE_SECONDS)
    assert await cache.get(URL) == b"two"


async def test_an_outage_goes_unnoticed_for_an_hour(
    cache: FetchCache[bytes], web: Web, clock: ManualClock
) -> None:
    await cache.get(URL)
    web.body = FetchFailed("away")
    clock.advance(DEFAULT_SECONDS + STALE_SECONDS - 1)
    assert await cache.get(URL) == b"one"
    clock.advance(FAILURE_SECONDS)
    with pytest.raises(FetchFailed):
        await cache.get(URL)


async def test_spec050_a_refusal_ends_what_was_kept(
    cache: FetchCache[bytes], web: Web, clock: ManualClock
) -> None:
    await cache.get(URL)
    clock.advance(DEFAULT_SECONDS)
    web.body = FetchRefused("gone")
    with pytest.raises(FetchRefused):
        await cache.get(URL)
    web.body = FetchFailed("away")
    clock.advance(FAILURE_SECONDS)
    with pytest.raises(FetchFailed):
        await cache.get(URL)


async def test_newer_ones_are_fetched_when_that_was_not_just_done(
    cache: FetchCache[bytes], web: Web, clock: ManualClock
) -> None:
    await cache.get(URL)
    web.body = b"two"
    assert await cache.get(URL, older_than=10) == b"one"
    clock.advance(10)
    assert await cache.get(URL, older_than=10) == b"two"


async def test_only_so_many_are_kept(cache: FetchCache[bytes], web: Web) -> None:
    for n in range(4):
        await cache.get(f"{URL}?{n}")
    await cache.get(f"{URL}?3")
    assert web.fetched == 4
    await cache.get(f"{URL}?0")
    assert web.fetched == 5


async def test_only_so_many_failures_are_kept(cache: FetchCache[bytes], web: Web) -> None:
    web.body = FetchRefused("no")
    for n in (0, 1, 2, 3, 0):
        with pytest.raises(FetchRefused):
            await cache.get(f"{URL}?{n}")
    assert web.fetched == 5
