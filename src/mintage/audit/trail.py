"""The queue between the server and where records go. It never waits, and counts what it loses."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

from mintage.concurrency.backoff import pause

log = logging.getLogger("mintage.audit")

_SIZE: Final = 10_000  # records that wait: some 10 MB
_BATCH: Final = 200
_FIRST_PAUSE: Final = 0.5  # seconds
_LONGEST_PAUSE: Final = 30.0
_GATHERING: Final = 0.1  # seconds: one write for many records costs less than one for each
_DRAIN_SECONDS: Final = 5.0


class NotWritten(Exception):
    """A sink could not write. *written*: how many of the records it wrote before.

    *refused*: how many after those will never be accepted, so that there is no second attempt.
    """

    def __init__(self, reason: str, *, written: int = 0, refused: int = 0) -> None:
        super().__init__(reason)
        self.written = written
        self.refused = refused


class Sink(Protocol):
    """Where records go. One thread calls it, which may wait."""

    @property
    def name(self) -> str:
        """For the log. It has no secrets."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write *lines*, each a whole record with its end. Raises `NotWritten`."""

    def close(self) -> None: ...


class Trail:
    """Keeps records until *sink* has them. A thread of its own writes them.

    If the sink fails it is tried again, with pauses that grow. Meanwhile at most *size* records
    wait. Further ones are dropped, and the next record that is kept says how many. *gathering*: how
    many seconds it waits for more records before it writes.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        size: int = _SIZE,
        gathering: float = _GATHERING,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self._sink = sink
        self._size = size
        self._gathering = gathering
        self._first_pause = first_pause
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._is_full = False
        self._problem: str | None = None
        self._closing = self._abandoned = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str | None:
        """Why records can't be written at present; None if they can."""
        return self._problem

    def put(self, make: Callable[[int], bytes]) -> None:
        """Keep the line that *make* gives for the number of records dropped before it."""
        with self._changed:
            if len(self._waiting) >= self._size or self._closing:
                self._dropped += 1
                full, self._is_full = self._is_full, True
            else:
                full = True
                self._waiting.append(make(self._dropped))
                self._dropped = 0
                self._start()
                if len(self._waiting) == 1:
                    self._changed.notify()
        if not full:
            log.error("%s: too many records wait; new ones are dropped", self._sink.name)

    def close(self, seconds: float = _DRAIN_SECONDS) -> None:
        """Write what waits, for a few *seconds* at most. It blocks."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)
        self._abandoned = True
        lost = len(self._waiting) + self._dropped
        if lost:
            log.error("%s: %d records were not written before the stop", self._sink.name, lost)
        if self._thread is None or not self._thread.is_alive():
            self._sink.close()

    def _start(self) -> None:
        """At the first record: the thread of a process does not live on in its children."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mintage-audit", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        failures, batch = 0, list[bytes]()
        while not self._abandoned and (batch := batch or self._next()):
            try:
                self._sink.write(batch)
            except NotWritten as problem:
                failures += 1
                self._failed(problem)
                # The same ones again, so that a webhook can tell that it has them already.
                batch = batch[problem.written + problem.refused :]
                self._rest(failures)
            else:
                self._written(len(batch))
                failures, batch = 0, []

    def _next(self) -> list[bytes]:
        """The next records to write, when there are some; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._closing, timeout=self._gathering)
            return list(islice(self._waiting, _BATCH))

    def _take_out(self, number: int) -> None:
        for _ in range(number):
            self._waiting.popleft()
        self._is_full = self._is_full and number == 0

    def _written(self, number: int) -> None:
        with self._changed:
            self._take_out(number)
            problem, self._problem = self._problem, None
        if problem is not None:
            log.warning("%s: records are written again", self._sink.name)

    def _failed(self, problem: NotWritten) -> None:
        with self._changed:
            self._take_out(problem.written + problem.refused)
            self._dropped += problem.refused
            known, self._problem = self._problem, str(problem)
        if known is None or problem.refused:
            log.error("%s: records can't be written: %s", self._sink.name, problem)

    def _rest(self, failures: int) -> None:
        """Pause before the next attempt. While the server stops, pauses are short."""
        seconds = pause(
            min(failures - 1, 10), random.random, first=self._first_pause, most=_LONGEST_PAUSE
        )
        with self._changed:
            stops = self._changed.wait_for(lambda: self._closing, timeout=seconds)
        if stops:
            time.sleep(min(seconds, self._first_pause))
