"""SIGHUP: read the settings again. It may come before there is anybody to do it."""

import os
import signal
from collections.abc import Callable
from types import FrameType


class Hangups:
    """Passes SIGHUP on to the part that reloads; one that comes too early is passed on later.

    A terminal that is closed sends the same signal to the programs on it. Then it is a SIGTERM.
    """

    def __init__(self) -> None:
        self._taker: Callable[[], object] | None = None
        self._came = False
        self._terminal = next((number for number in range(3) if os.isatty(number)), None)

    def listen(self) -> None:
        """Take the signal in this process from now on."""
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._handle)

    def pass_to(self, taker: Callable[[], object] | None) -> None:
        """Call *taker* for each signal, and at once if one has come."""
        self._taker = taker
        if taker is not None and self._came:
            self._came = False
            taker()

    def forget(self) -> None:
        """Forget what the parent process did with the signal, after a fork."""
        self._taker, self._came = None, False

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._terminal is not None and not os.isatty(self._terminal):
            signal.raise_signal(signal.SIGTERM)
        elif self._taker is None:
            self._came = True
        else:
            self._taker()
