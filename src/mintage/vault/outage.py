"""Leaving a store alone that has just failed: it is asked again after a pause that grows."""

from typing import Final

from mintage.values import Clock, RandomBytes

_FIRST: Final = 0.1  # seconds
_LONGEST: Final = 2.0


class Outage:
    """What is known of a store that does not answer. Pauses differ from process to process."""

    def __init__(self, *, clock: Clock, random_bytes: RandomBytes) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._failures = 0
        self._until = 0.0

    def is_resting(self) -> bool:
        """Whether it is too early to ask again."""
        return self._failures > 0 and self._clock() < self._until

    def failed(self) -> None:
        """The store did not answer."""
        pause = min(_FIRST * 2**self._failures, _LONGEST)
        self._failures = min(self._failures + 1, 16)
        self._until = self._clock() + pause * (0.5 + self._random_bytes(1)[0] / 512)

    def answered(self) -> None:
        self._failures = 0
