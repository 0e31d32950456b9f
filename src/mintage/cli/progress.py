"""How far a long command is: on a terminal one line that changes, elsewhere a line now and then."""

import sys
from collections.abc import Callable
from typing import Final, TextIO

_ON_A_TERMINAL: Final = 0.2  # seconds between two words
_ELSEWHERE: Final = 10.0
_MINUTE: Final = 60


class Progress:
    """Says how many of *total* things a step has done, how fast, and how long the rest may take.

    *clock*: seconds that only go forward. *out*: where it is said; None for standard error.
    """

    def __init__(
        self, step: str, total: int | None, *, clock: Callable[[], float], out: TextIO | None = None
    ) -> None:
        self._step = step
        self._total = total
        self._clock = clock
        self._out = sys.stderr if out is None else out
        self._every = _ON_A_TERMINAL if self._out.isatty() else _ELSEWHERE
        self._begun = self._said = clock()
        self._written = self._done = 0

    def __call__(self, done: int) -> None:
        """*done* things are done; fewer than before: another round began. Says so if it is time."""
        now = self._clock()
        if done < self._done:
            self._begun = now
        self._done = done
        if now - self._said >= self._every:
            self._said = now
            self._say(line(self._step, done, self._total, now - self._begun))

    def end(self) -> None:
        """Clear the line on a terminal, for what is printed next."""
        if self._written:
            print("\r" + " " * self._written + "\r", end="", file=self._out, flush=True)

    def _say(self, text: str) -> None:
        if self._out.isatty():
            print("\r" + text.ljust(self._written), end="", file=self._out, flush=True)
            self._written = max(self._written, len(text))
        else:
            print(text, file=self._out, flush=True)


def line(step: str, done: int, total: int | None, seconds: float) -> str:
    """What is said after *seconds*: ``copying: 12,000 of 48,000 (25 %), 1,900/s, 19 s left``."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{step}: {done:,}"
    if total:
        done = min(done, total)  # more may have come since they were counted
        text += f" of {total:,} ({100 * done // total} %)"
    text += f", {rate:,.0f}/s"
    if total and rate:
        text += f", {duration((total - done) / rate)} left"
    return text


def duration(seconds: float) -> str:
    """*seconds* as a person says it: ``19 s``, ``4 min 10 s``, ``2 h 5 min``."""
    whole = round(seconds)
    minutes, left = divmod(whole, _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
