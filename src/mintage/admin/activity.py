"""How much a process does: security events by minute, and refusals by stage and code."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from mintage.events.event import Event
from mintage.events.requests import RequestRefused
from mintage.values import Clock
from mintage.web.current_request import ADMIN

_MINUTE: Final = 60
MINUTES: Final = 60


@dataclass(slots=True)
class Activity:
    """Counts events: it is an `Emit`. *clock*: a clock that cannot be set, in seconds.

    What it counts has few names, so its size is bounded. A refusal by the admin API itself is none.
    """

    clock: Clock
    _since: float = field(init=False)
    _minutes: deque[tuple[int, Counter[str]]] = field(init=False, repr=False)
    _refusals: deque[tuple[int, Counter[tuple[str, str]]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._since = self.clock()
        self._minutes = deque(maxlen=MINUTES)
        self._refusals = deque(maxlen=MINUTES)

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        minute = int(self.clock()) // _MINUTE
        if isinstance(event, RequestRefused):
            if event.endpoint != ADMIN:
                _of(self._refusals, minute)[event.stage, event.code] += 1
            return
        _of(self._minutes, minute)[event.action] += 1

    def last(self, minutes: int) -> dict[str, int]:
        """How many events of each kind the last *minutes* had, with the one that is not over."""
        return dict(sorted(self._sum(self._minutes, minutes).items()))

    def refusals(self, minutes: int) -> list[dict[str, Any]]:
        """How often which stage refused with which code; the most frequent first."""
        found = self._sum(self._refusals, minutes)
        return [
            {"stage": stage, "error": code, "count": count}
            for (stage, code), count in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        ]

    @property
    def seconds(self) -> int:
        """Since when it counts."""
        return int(self.clock() - self._since)

    def _sum(self, minutes: "deque[tuple[int, Counter[Any]]]", last: int) -> "Counter[Any]":
        oldest = int(self.clock()) // _MINUTE - last
        total: Counter[Any] = Counter()
        for minute, counted in minutes:
            if minute > oldest:
                total.update(counted)
        return total


def _of(minutes: "deque[tuple[int, Counter[Any]]]", minute: int) -> "Counter[Any]":
    if not minutes or minutes[-1][0] != minute:
        minutes.append((minute, Counter()))
    return minutes[-1][1]
