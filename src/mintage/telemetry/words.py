"""The words that are values of labels."""

from collections.abc import Callable
from typing import Final

_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")

Timer = Callable[[float], None]


def status_class(status: int) -> str:
    """``2xx`` and so on; ``none`` for what is no status."""
    number = status // 100
    return _CLASSES[number] if 1 <= number < len(_CLASSES) else "none"


class Timers(dict[str, Timer]):
    """outcome → what takes its seconds, made by *make* when it is first needed.

    *of_status* is the same by HTTP status.
    """

    def __init__(self, make: Callable[[str], Timer]) -> None:
        super().__init__()
        self._make = make
        self.of_status = _ByStatus(self)

    def __missing__(self, outcome: str) -> Timer:
        self[outcome] = made = self._make(outcome)
        return made


class _ByStatus(dict[int, Timer]):
    def __init__(self, timers: Timers) -> None:
        super().__init__()
        self._timers = timers

    def __missing__(self, status: int) -> Timer:
        found = self._timers[status_class(status)]
        if 100 <= status < 600:  # noqa: PLR2004  (others would be any number)
            self[status] = found
        return found
