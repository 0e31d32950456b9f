"""One record for many refusals by a limit: a user above a limit does not fill the audit trail."""

from http import HTTPStatus
from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.events.event import Subject
from mintage.events.requests import RequestRefused
from mintage.values import Clock

_SECONDS: Final = 60.0
_MOST: Final = 20_000  # users; one more forgets the one that had a record longest ago


class Thinning:
    """Of the refusals with 429, lets one through for each user and minute. *clock*: of the day."""

    def __init__(self, clock: Clock, *, most: int = _MOST) -> None:
        self._clock = clock
        # For each user: when there was a record, and how many refusals had none since then.
        self._last = BoundedMemory[Subject, tuple[float, list[int]]](most)

    def left_out(self, event: RequestRefused) -> int | None:
        """How many refusals of the user had no record before *event*; None if it has none too."""
        user = event.party.subject
        if user is None or event.status != HTTPStatus.TOO_MANY_REQUESTS:
            return 0
        now = self._clock()
        at, count = self._last.get(user, (None, [0]))
        if at is not None and 0 <= now - at < _SECONDS:
            count[0] += 1
            return None
        self._last[user] = (now, [0])
        return count[0]
