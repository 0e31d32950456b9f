"""Several server processes on the same sockets, and the parent that restarts them."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from mintage.cli.hangups import Hangups
from mintage.cli.supervisor import notify, notify_reloading
from mintage.errors import ConfigError, MintageError

log = logging.getLogger("mintage.serve")

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
"""The signals that stop a server in good order."""
_ALL: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_WRONG_SETTING: Final = 2  # the exit code of a process that can't start as it is configured
_TOO_SOON: Final = 2.0  # seconds: a worker that ends sooner will end again
_MAX_TOO_SOON: Final = 5
_HELPER: Final = -1  # its number


class Workers:
    """Keeps *count* processes of *work* running until a signal says to stop.

    *work* gets the reading end of a pipe. Only the parent has the writing end, so the pipe ends
    with the parent, however that ends. It also gets a number below *count*, which no other process
    that is running has. *helper*: the work of one process more, which the server can do without.
    *hangups*: at a SIGHUP, *reload* says whether the settings are good; only then the workers get
    the signal too.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, int], int],
        helper: Callable[[int], int] | None = None,
        *,
        hangups: Hangups | None = None,
        reload: Callable[[], bool] = lambda: True,
    ) -> None:
        if not hasattr(os, "fork"):
            raise ConfigError("--workers", "this system can't fork; start one process")
        self._count = count
        self._work = work
        self._helper = helper
        self._hangups = hangups or Hangups()
        self._reload = reload
        self._reloading = self._reload_again = False
        self._started: dict[int, tuple[int, float]] = {}  # pid: (number, when)
        self._stopping = False
        self._too_soon = 0
        self._helper_too_soon = 0

    def run(self) -> int:
        """The exit code: 0 after a stop that was asked for, 2 for a wrong setting, else 1."""
        self._alive, self._held = os.pipe()
        for stop in STOPPING:
            signal.signal(stop, self._stop)
        for number in range(self._count):
            self._start(number)
        if self._helper is not None:
            self._start(_HELPER)
        notify("READY=1")
        self._hangups.pass_to(self._pass_on)
        status = 0
        while self._started:
            pid, raw = os.waitpid(-1, 0)
            number, since = self._started.pop(pid)
            lived = time.monotonic() - since
            code = os.waitstatus_to_exitcode(raw)
            if self._stopping:
                # A worker that was still starting may have ended by the signal itself.
                asked_to = (0, *(-number for number in STOPPING))
                status = status or (0 if code in asked_to or number == _HELPER else 1)
            elif number == _HELPER:
                self._helper_ended(pid, code, lived)
            elif self._may_return(pid, code, lived):
                self._start(number)
            else:
                status = code if code == _WRONG_SETTING else 1
        return status

    def _start(self, number: int) -> None:
        # A signal between the fork and the note of it would miss the new child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
        pid = os.fork()
        if pid == 0:
            self._be_a_worker(number)
        self._started[pid] = (number, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL)

    def _be_a_worker(self, number: int) -> None:
        """Run as a worker. It never returns, so only the parent closes what the parent opened."""
        code = 1
        try:
            for stop in STOPPING:
                signal.signal(stop, signal.SIG_DFL)
            self._hangups.forget()
            self._hangups.listen()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL)
            os.close(self._held)
            if number == _HELPER and self._helper is not None:
                code = self._helper(self._alive)
            else:
                code = self._work(self._alive, number)
        except ConfigError as error:
            log.error("worker %d: %s", os.getpid(), error)  # noqa: TRY400  (a sentence, no trace)
            code = _WRONG_SETTING
        except MintageError as error:
            log.error("worker %d: %s", os.getpid(), error)  # noqa: TRY400
        except BaseException:
            log.exception("worker %d", os.getpid())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _helper_ended(self, pid: int, code: int, lived: float) -> None:
        self._helper_too_soon = self._helper_too_soon + 1 if lived < _TOO_SOON else 0
        if self._helper_too_soon <= _MAX_TOO_SOON:
            log.error("the process %d of the metrics ended with %d after %.0f s", pid, code, lived)
            self._start(_HELPER)
        else:
            log.error("the process of the metrics does not stay up; there are no metrics")

    def _may_return(self, pid: int, code: int, lived: float) -> bool:
        log.error("worker %d ended with %d after %.0f s", pid, code, lived)
        self._too_soon = self._too_soon + 1 if lived < _TOO_SOON else 0
        if code != _WRONG_SETTING and self._too_soon <= _MAX_TOO_SOON:
            return True
        log.error("workers do not stay up; giving up")
        self._stop(signal.SIGTERM, None)
        return False

    def _pass_on(self) -> None:
        """At a SIGHUP: read the settings once, and let the workers read them if they are good.

        A signal that comes meanwhile is one more reload.
        """
        self._reload_again = True
        if self._reloading:
            return
        self._reloading = True
        try:
            while self._reload_again and not self._stopping:
                self._reload_again = False
                notify_reloading()
                if self._reload():
                    for pid, (number, _) in self._started.items():
                        if number != _HELPER:
                            os.kill(pid, signal.SIGHUP)
                    notify("READY=1")
        finally:
            self._reloading = False

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._stopping = True
        notify("STOPPING=1")
        for pid in self._started:
            os.kill(pid, signal.SIGTERM)
