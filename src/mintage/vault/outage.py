"""Spares a store that has just failed: the pause before the next attempt grows."""

import random
from typing import Final

from mintage.concurrency.backoff import pause
from mintage.values import Clock

_FIRST: Final = 0.1  # seconds
_LONGEST: Final = 2.0


class Outage:
    """The state of a store that does not answer. Pauses differ from process to process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    def is_resting(self) -> bool:
        """Whether it is too early to ask again."""
        return self._failures > 0 and self._clock() < self._until

    def failed(self) -> None:
        """The store did not answer."""
        rest = pause(self._failures, random.random, first=_FIRST, most=_LONGEST)
        self._failures += 1
        self._until = self._clock() + rest

    def answered(self) -> None:
        self._failures = 0
