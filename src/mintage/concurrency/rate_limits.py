"""Limits how often something may happen, by key: token buckets in bounded memory.

A bucket is one number, the time at which it would be full again if it went on at the full rate (the
"generic cell rate algorithm"). So each check is a look-up, a comparison and a write.
"""

import math
from collections.abc import Hashable
from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import TooManyRequests
from mintage.values import Clock

_MINUTE: Final = 60.0
_FULL: Final = _MINUTE + 1e-6  # seconds until a bucket is full that has room for one, rounded
MOST: Final = 20_000  # keys; one more forgets the one that was seen first


class RateLimit:
    """At most *per_minute* for each key, all at once or spread; 0: no limit.

    *clock* cannot be set, and is in seconds. *advice*: what the refusal says. *most*: how many keys
    it remembers. A key that it has forgotten begins with a full minute's worth again.
    """

    def __init__(self, per_minute: int, advice: str, *, clock: Clock, most: int = MOST) -> None:
        self._interval = _MINUTE / per_minute if per_minute else 0.0
        self._advice = advice
        self._clock = clock
        # A cell for each key: it is changed in its place, which costs less than to write it anew.
        # When it is full, when a refusal was last told, and how many were not told since then.
        self._full_at: BoundedMemory[Hashable, list[float]] = BoundedMemory(most)

    def check(self, key: Hashable) -> None:
        """Count one for *key*. Raises `TooManyRequests` if that is too many, and then counts none.

        It says after how many seconds there is room for one more. It is *repeated* if another one
        for *key* was not, less than a minute ago: then nobody needs to read of it.
        """
        if not self._interval:
            return
        now = self._clock()
        cell = self._full_at.get(key)
        if cell is None:
            self._full_at[key] = [now + self._interval, -math.inf, 0]
            return
        full_at = max(now, cell[0]) + self._interval
        if full_at - now > _FULL:
            wait = math.ceil(full_at - now - _MINUTE)
            raise self._refusal(cell, now, max(1, wait))
        cell[0] = full_at

    def _refusal(self, cell: list[float], now: float, wait: int) -> TooManyRequests:
        repeated = now - cell[1] < _MINUTE
        untold = int(cell[2])
        cell[1:] = (cell[1], untold + 1) if repeated else (now, 0)
        refusal = TooManyRequests(self._advice, retry_after=wait, repeated=repeated)
        if untold and not repeated:
            refusal.reason = f"{self._advice} ({untold} more since the last such line)"
        return refusal


def no_limit(key: Hashable) -> None:
    """In place of `RateLimit.check` where nothing is limited."""
