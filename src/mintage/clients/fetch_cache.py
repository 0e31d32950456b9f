"""Caches what was fetched for as long as its server allows, within limits."""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from mintage.clients.fetching import Fetched
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.concurrency.single_flight import SingleFlight
from mintage.errors import FetchFailed, FetchRefused, InvalidClient
from mintage.network.cache_control import freshness
from mintage.values import Clock

T = TypeVar("T")

MIN_SECONDS: Final = 60
DEFAULT_SECONDS: Final = 3600
MAX_SECONDS: Final = 86_400
STALE_SECONDS: Final = 3600  # for which an outage of the client's host goes unnoticed
FAILURE_SECONDS: Final = 10

Problem = FetchFailed | FetchRefused | InvalidClient


class Fetch(Protocol):
    async def __call__(self, url: str, *, limit: int) -> Fetched:
        """The JSON at *url*. Raises `FetchFailed` and `FetchRefused`."""


class _Kept(msgspec.Struct, Generic[T], frozen=True):
    value: T
    fetched_at: float
    fresh_until: float


class FetchCache(Generic[T]):
    """Caches the values that *read* makes of documents at URLs. Times are in seconds.

    Callers that ask for one URL at the same time share its fetch. A failure is cached for a moment,
    so that a stranger can't make this server contact a dead host a thousand times a second, and no
    longer (draft §4.4). *limit* is in bytes for each answer. *size* URLs are cached, and the least
    recently used are dropped first. Strangers choose the URLs, so failures have a cache of their
    own and displace no good document.
    """

    def __init__(
        self,
        fetch: Fetch,
        read: Callable[[str, bytes], T],
        *,
        limit: int,
        size: int,
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._read = read
        self._limit = limit
        self._clock = clock
        self._kept: BoundedMemory[str, _Kept[T]] = BoundedMemory(size)
        self._failures: BoundedMemory[str, tuple[Problem, float]] = BoundedMemory(size)
        self._flights: SingleFlight[T] = SingleFlight()

    async def get(self, url: str, *, older_than: float | None = None) -> T:
        """The value at *url*, fetched again if the cached one is over *older_than* seconds old.

        Raises what *read* raises, `FetchRefused` and `FetchFailed`. In an outage the cached value
        is used for `STALE_SECONDS` more.
        """
        now = self._clock()
        kept = self._kept.get(url)
        if kept is not None and now < kept.fresh_until and not _is_older(kept, older_than, now):
            self._kept.move_to_end(url)
            return kept.value
        try:
            return await self._fetch_unless_it_just_failed(url)
        except FetchFailed:
            if kept is None or now >= kept.fresh_until + STALE_SECONDS:
                raise
            return kept.value

    async def drain(self) -> None:
        """Wait for the fetches under way, at most `fetching.SECONDS`."""
        await self._flights.drain()

    async def _fetch_unless_it_just_failed(self, url: str) -> T:
        problem, until = self._failures.get(url, (None, 0.0))
        if problem is not None and self._clock() < until:
            raise problem.with_traceback(None)  # the one of its first time is long over
        return await self._flights.join(url.encode(), lambda: self._fetch_and_keep(url))

    async def _fetch_and_keep(self, url: str) -> T:
        try:
            fetched = await self._fetch(url, limit=self._limit)
            value = self._read(url, fetched.body)
        except (FetchFailed, FetchRefused, InvalidClient) as problem:
            if not isinstance(problem, FetchFailed):
                self._kept.pop(url, None)
            self._failures[url] = problem, self._clock() + FAILURE_SECONDS
            raise
        now = self._clock()
        self._failures.pop(url, None)
        self._kept[url] = _Kept(value, now, now + lifetime(fetched.cache_control))
        return value


def _is_older(kept: _Kept[T], seconds: float | None, now: float) -> bool:
    return seconds is not None and now - kept.fetched_at >= seconds


def lifetime(cache_control: str) -> int:
    """How many seconds an answer with this ``Cache-Control`` is fresh (RFC 9111 §5.2.2).

    At least a minute: otherwise one login would fetch a document three times.
    """
    return freshness(cache_control, least=MIN_SECONDS, usual=DEFAULT_SECONDS, most=MAX_SECONDS)
