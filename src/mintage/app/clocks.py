"""The clocks of one server: what time it is, and how long ago something was."""

import time
from dataclasses import dataclass

from mintage.values import Clock


@dataclass(frozen=True, slots=True)
class Clocks:
    """*now*: seconds since the epoch, for what tokens and records say.

    *steady*: seconds on a clock that nobody sets, for pauses and for how long something is
    remembered. A step of the time of day must not stop these, nor make them longer.
    """

    now: Clock
    steady: Clock

    @classmethod
    def of(cls, now: Clock) -> "Clocks":
        """The system's two clocks. A *now* that is not the system's own serves for both."""
        return cls(now, time.monotonic if now is time.time else now)
