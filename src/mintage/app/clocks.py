"""The clocks of one server: the time of day, and how long ago something was."""

import logging
import time
from typing import Final

import msgspec

from mintage.stores.protocol import Store
from mintage.values import Clock

log = logging.getLogger("mintage")

_WORTH_A_WORD: Final = 2.0  # seconds
_NO_DRIFT: Final = 86400.0


class Clocks(msgspec.Struct, frozen=True):
    """*now*: seconds since the epoch, for tokens and records.

    *steady*: seconds on a clock that cannot be set, for pauses and for how long a cache is valid.
    Setting the time of day must not change these.
    """

    now: Clock
    steady: Clock

    @classmethod
    def of(cls, now: Clock) -> "Clocks":
        """The system's two clocks. If *now* is another clock, it serves as both."""
        return cls(now, time.monotonic if now is time.time else now)


class StoreClock:
    """The time of day by the store's clock, if it has one, so that all replicas agree on it.

    Between two readings of the store's clock it counts with the steady clock. So setting the time
    of day of this machine changes nothing.
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
        """Read the clock of *store*. Raises `StoreUnavailable`.

        If the two clocks differ by more than a day, one of them is set wrong, and it can't be known
        which. Then this machine's clock is used.
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
