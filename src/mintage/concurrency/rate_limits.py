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
_ROUNDING: Final = 1e-6
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
        self._full_at: BoundedMemory[Hashable, list[float]] = BoundedMemory(most)

    def check(self, key: Hashable) -> None:
        """Count one for *key*. Raises `TooManyRequests` if that is too many, and then counts none.

        It says after how many seconds there is room for one more.
        """
        if not self._interval:
            return
        now = self._clock()
        cell = self._full_at.get(key)
        if cell is None:
            self._full_at[key] = [now + self._interval]
            return
        full_at = max(now, cell[0]) + self._interval
        if full_at - now > _MINUTE + _ROUNDING:
            wait = math.ceil(full_at - now - _MINUTE)
            raise TooManyRequests(self._advice, retry_after=max(1, wait))
        cell[0] = full_at


def no_limit(key: Hashable) -> None:
    """In place of `RateLimit.check` where nothing is limited."""
