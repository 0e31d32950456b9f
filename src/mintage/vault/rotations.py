"""How long ago this process rotated a grant, by a clock that cannot be set.

The grace for a repeated refresh is a minute. If the time of day is set forward by more than that
between a refresh and its repetition, a lost response would look like a theft.
"""

from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.grants.states import Active, Grant
from mintage.values import Clock

_MAX: Final = 10_000


class Rotations:
    """The latest rotations, at most ten thousand. *steady* is the clock; see `Clocks`."""

    def __init__(self, steady: Clock) -> None:
        self._steady = steady
        self._made: BoundedMemory[bytes, tuple[int, float]] = BoundedMemory(_MAX)

    def note(self, key: bytes, grant: Active) -> None:
        """*grant*, under store key *key*, was rotated just now, and here."""
        self._made[key] = grant.generation, self._steady()

    def age(self, key: bytes, grant: Grant) -> float | None:
        """Seconds since *grant* was rotated here; None if another process did it, or long ago."""
        known = self._made.get(key)
        if known is None or not isinstance(grant, Active) or known[0] != grant.generation:
            return None
        return self._steady() - known[1]
