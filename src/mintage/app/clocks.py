"""The clocks of one server: what time it is, and how long ago something was."""

import logging
import time
from dataclasses import dataclass
from typing import Final

from mintage.stores.protocol import Store
from mintage.values import Clock

log = logging.getLogger("mintage")

_WORTH_A_WORD: Final = 2.0  # seconds
_NO_DRIFT: Final = 86400.0


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


class StoreClock:
    """The time of day by the store's clock, where the store has one: all replicas agree on it.

    Between two looks at the store's clock the steady one runs on, so a step of this machine's
    time of day changes nothing.
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._seen: tuple[float, float] | None = None  # the store's time, and when by *steady*
        self._ahead = 0.0

    def __call__(self) -> float:
        if self._seen is None:
            return self._clocks.now()
        then, at = self._seen
        return then + self._clocks.steady() - at

    @property
    def machine(self) -> Clock:
        """This machine's own clock."""
        return self._clocks.now

    @property
    def ahead(self) -> float:
        """Seconds by which this machine's clock is ahead of the store's; negative: behind."""
        return self._ahead

    async def follow(self, store: Store) -> None:
        """Look at the clock of *store*. Raises `StoreUnavailable`.

        A difference of more than a day is no drift: then this machine's clock is kept, because
        nobody can say which of the two is wrong.
        """
        asked = self._clocks.steady()
        theirs = (await store.status()).time
        if theirs is None:
            return
        at = (asked + self._clocks.steady()) / 2
        before, self._ahead = self._ahead, self._clocks.now() - theirs
        if abs(self._ahead) > _NO_DRIFT:
            self._seen = None
        else:
            self._seen = theirs, at
        if abs(self._ahead) > _WORTH_A_WORD and abs(self._ahead - before) > _WORTH_A_WORD:
            log.warning(
                "this machine's clock is %.0f s %s the store's; Mintage uses %s: set the "
                "clocks (NTP) of both machines",
                abs(self._ahead),
                "ahead of" if self._ahead > 0 else "behind",
                "its own" if self._seen is None else "the store's",
            )
