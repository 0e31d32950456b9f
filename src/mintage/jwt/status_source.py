"""The status list of an issuer, fetched again and again, for `JWTVerifier`.

A list is used for its ``ttl``. In the second half of that a new one is fetched in the background,
so that callers of a busy verifier never wait; one that was idle waits once. If no new list can be
had, the last one is used for *grace* seconds more, and not after its own end. Then it is unknown
which tokens are revoked, and that is neither yes nor no: `StatusUnavailable`.

Somebody who can answer in the issuer's place has old lists, with valid signatures. So a list that
is older than the one in use is never taken, and neither is one that was made more than *grace*
seconds ago.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from mintage.errors import KeysUnavailable, StatusUnavailable, TokenError
from mintage.jwt.status_list import BadStatusList, ReadList
from mintage.values import Clock

USUAL_TTL: Final = 5
MOST_TTL: Final = 60
RETRY_SECONDS: Final = 1.0
"""Seconds between two fetches at least."""

Get = Callable[[], Awaitable[ReadList]]
"""Fetches and verifies a list. Raises ``OSError``, `KeysUnavailable` or `TokenError`."""


class _Held(msgspec.Struct, frozen=True):
    read: ReadList
    fetched_at: float

    @property
    def ttl(self) -> int:
        said = USUAL_TTL if self.read.ttl is None else self.read.ttl
        return min(max(said, 1), MOST_TTL)


class StatusSource:
    """*get* fetches. *grace* and *leeway* are in seconds, *leeway* for the issuer's clock."""

    def __init__(self, get: Get, *, grace: float, leeway: float, clock: Clock) -> None:
        self._get = get
        self._grace = grace
        self._leeway = leeway
        self._clock = clock
        self._held: _Held | None = None
        self._flight: asyncio.Task[None] | None = None
        self._next_fetch = float("-inf")
        self._why = "it was not fetched yet"

    async def bits(self) -> bytes:
        """The bits of a list that may still be used. Raises `StatusUnavailable`."""
        held, now = self._held, self._clock()
        age = float("inf") if held is None else now - held.fetched_at
        if held is None or age >= held.ttl / 2 or age < 0:
            flight = self._start()
            if flight is not None and (held is None or not 0 <= age < held.ttl):
                await asyncio.shield(flight)
        return self._usable()

    def _usable(self) -> bytes:
        held, now = self._held, self._clock()
        if held is not None:
            until = min(held.fetched_at + held.ttl + self._grace, held.read.exp + self._leeway)
            if now < until:
                return held.read.bits
        wait = max(1, round(self._next_fetch - now))
        raise StatusUnavailable(
            f"the issuer's status list can't be had: {self._why}", retry_after=wait
        )

    def _start(self) -> "asyncio.Task[None] | None":
        """The fetch under way, or a new one if it is time; None if it is not."""
        flight = self._flight
        if flight is not None and not flight.done():
            if flight.get_loop() is asyncio.get_running_loop():
                return flight
        elif self._clock() < self._next_fetch:
            return None
        self._next_fetch = self._clock() + RETRY_SECONDS
        self._flight = asyncio.create_task(self._fetch())
        return self._flight

    async def _fetch(self) -> None:
        begun = self._clock()
        try:
            read = await self._get()
            self._check(read)
        except (OSError, KeysUnavailable, TokenError) as error:
            self._why = str(error) or type(error).__name__
            return
        self._held = _Held(read, begun)

    def _check(self, read: ReadList) -> None:
        """Raises `BadStatusList` if *read* is not of now, or older than what is known."""
        now = self._clock()
        if read.iat > now + self._leeway:
            raise BadStatusList("it was made in the future: check the clocks")
        if now >= read.exp + self._leeway or now >= read.iat + self._grace + self._leeway:
            raise BadStatusList("it is too old")
        if self._held is not None and read.iat < self._held.read.iat:
            raise BadStatusList("it is older than the one in use")
