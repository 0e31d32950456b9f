"""Several server processes on one listening socket, and the parent that minds them."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

log = logging.getLogger("mintage.serve")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_TOO_SOON: Final = 2.0  # seconds: who ends sooner will end again
_MAX_TOO_SOON: Final = 5


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that the workers share. Raises ``OSError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def listen_at(path: Path) -> socket.socket:
    """The same at a Unix socket, for this user and group alone. Raises ``OSError``.

    What a server left that was killed is in nobody's way; a live server's place is not taken.
    """
    if path.is_socket() and not _is_live(path):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o660)  # nobody can connect yet
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


class Workers:
    """Keeps *count* processes of *work* alive until a signal says to stop."""

    def __init__(self, count: int, work: Callable[[], int]) -> None:
        self._count = count
        self._work = work
        self._started: dict[int, float] = {}
        self._stopping = False
        self._too_soon = 0

    def run(self) -> int:
        """0 after a stop that was asked for and obeyed by all; 1 if they can't stay up."""
        for number in _SIGNALS:
            signal.signal(number, self._stop)
        for _ in range(self._count):
            self._start()
        status = 0
        while self._started:
            pid, raw = os.waitpid(-1, 0)
            lived = time.monotonic() - self._started.pop(pid, time.monotonic())
            code = os.waitstatus_to_exitcode(raw)
            if self._stopping:
                # One that had not come up yet knows no better way to go.
                status = status if code in (0, -signal.SIGTERM) else 1
            elif self._may_return(pid, code, lived):
                self._start()
            else:
                status = 1
        return status

    def _start(self) -> None:
        # A signal between the fork and the note of it would miss the new child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)  # the parent's ways are not the child's
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os._exit(self._work())
        self._started[pid] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _may_return(self, pid: int, code: int, lived: float) -> bool:
        log.error("worker %d ended with %d after %.0f s", pid, code, lived)
        self._too_soon = self._too_soon + 1 if lived < _TOO_SOON else 0
        if self._too_soon <= _MAX_TOO_SOON:
            return True
        log.error("workers do not stay up; giving up")
        self._stop(signal.SIGTERM, None)
        return False

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._stopping = True
        for pid in self._started:
            os.kill(pid, signal.SIGTERM)
