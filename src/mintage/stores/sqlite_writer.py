"""Changes the SQLite file: statements in the event loop, the wait for the disk in a thread.

A statement takes some ten microseconds, and a change of threads many times that. So the statements
run in the event loop, and all changes that wait are one transaction. Its commit waits for the disk,
so a thread makes it. Changes that come meanwhile are the next transaction.
"""

import asyncio
import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import msgspec

from mintage.concurrency.backoff import pause
from mintage.errors import StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.sqlite_file import FileGuard
from mintage.values import Clock

_SECONDS: Final = 5.0  # for a change, its wait for the lock and for the disk included
_BUSY_SECONDS: Final = 4.0  # for the lock alone: less, so that the error names the reason
_BATCH: Final = 128  # changes in one transaction at the most: the event loop waits for them
_TRIM_EVERY: Final = 64  # changes, so that few of them touch the log's beginning as well
KEEP_CHANGES: Final = 300  # seconds that the log of changes goes back

# Only the log's first rows are looked at: they are its oldest, and it may be long.
TRIM_LOG: Final = (
    "DELETE FROM change WHERE version IN (SELECT version FROM"
    " (SELECT version, at FROM change ORDER BY version LIMIT ?) WHERE at <= ?)"
)

# What refuses a statement before it has changed anything.
_OF_ONE_STATEMENT: Final = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)

Operation = Callable[[sqlite3.Connection], Any]


class _Job(msgspec.Struct, frozen=True, eq=False):
    operation: Operation
    long: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    asked_at: float


class Transaction(msgspec.Struct, frozen=True, eq=False):
    """What one commit makes lasting: changes, and what each of them returned or raised."""

    jobs: list[_Job]
    outcomes: list[Any]


class SQLiteWriter:
    """Owns *db*, the only connection that writes. Any event loop may ask for a change.

    Each loop with a change that waits calls `_begin`. The first one takes all that wait; for the
    others there is nothing left. So no change waits for another loop that ended or is busy.
    """

    def __init__(self, db: sqlite3.Connection, guard: FileGuard, clock: Clock) -> None:
        db.execute("PRAGMA busy_timeout = 0")  # the event loop does not wait for a lock
        self._db = db
        self._guard = guard
        self._clock = clock
        self._lock = threading.Lock()  # for the four fields that follow
        self._waiting: list[_Job] = []
        self._called: set[asyncio.AbstractEventLoop] = set()  # those that will call `_begin`
        self._active = False  # a transaction is open
        self._closing = False
        self._failures = 0
        self._untrimmed = 0
        self._disk: SimpleQueue[Transaction | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._commit_all, name="mintage-sqlite", daemon=True)
        self._thread.start()

    async def change(self, operation: Operation, *, long: bool = False) -> Any:
        """What *operation* returned, once its transaction is on disk; or raises what it raised.

        A *long* one reads or writes many rows, and does so in the thread. Raises
        `StoreUnavailable` where the disk or the lock don't come within seconds.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        limit = loop.call_later(_SECONDS, _give_up, future)
        job = _Job(operation, long, loop, future, time.monotonic())
        with self._lock:
            self._waiting.append(job)
            calls = not self._active and loop not in self._called
            if calls:
                self._called.add(loop)
        if calls:
            loop.call_soon(self._begin)
        try:
            return await future
        finally:
            limit.cancel()

    async def close(self) -> None:
        """Wait for the changes that were asked for, then close the connection."""
        if self._active or self._waiting:
            with contextlib.suppress(StoreError):  # those before it have ended, too
                await self.change(_nothing)
        with self._lock:
            self._closing = True
        self._next()
        self._disk.put(None)
        await asyncio.to_thread(self._thread.join)

    def _begin(self) -> None:
        """In an event loop: begin a transaction, and make the changes that wait."""
        with self._lock:
            self._called.discard(asyncio.get_running_loop())
            if self._active or self._closing:
                return
            jobs = [job for job in self._waiting[:_BATCH] if not job.future.done()]
            del self._waiting[:_BATCH]
            self._active = bool(jobs)
        if not jobs:
            self._next()
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._not_begun(jobs, error)
            return
        self._failures = 0
        try:
            self._trim(len(jobs))
            outcomes = [None if job.long else _outcome(self._db, job) for job in jobs]
        except sqlite3.Error as error:
            self._end(Transaction(jobs, [self._rolled_back(error)] * len(jobs)))
            return
        self._disk.put(Transaction(jobs, outcomes))

    def _not_begun(self, jobs: list[_Job], error: sqlite3.Error) -> None:
        """Try again a little later if another process holds the lock, and not for too long."""
        delay, now = 0.0, time.monotonic()
        if is_busy(error):
            again = [job for job in jobs if now - job.asked_at < _BUSY_SECONDS]
            jobs = [job for job in jobs if now - job.asked_at >= _BUSY_SECONDS]
            with self._lock:
                self._waiting[:0] = again
            delay = pause(self._failures, random.random, first=0.001, most=0.02)
            self._failures += 1
        self._end(Transaction(jobs, [translated(error)] * len(jobs)), delay)

    def _trim(self, changes: int) -> None:
        """Two old rows go for each that comes, so that the log can't outgrow what it tells."""
        self._untrimmed += changes
        if self._untrimmed >= _TRIM_EVERY:
            before = int(self._clock()) - KEEP_CHANGES
            self._db.execute(TRIM_LOG, (2 * self._untrimmed, before))
            self._untrimmed = 0

    def _commit_all(self) -> None:
        """The thread."""
        while (transaction := self._disk.get()) is not None:
            self._end(Transaction(transaction.jobs, self._committed(transaction)))
        self._db.close()

    def _committed(self, transaction: Transaction) -> list[Any]:
        """The outcomes, or the same failure for all of the transaction."""
        try:
            self._guard.check()
            outcomes = [
                _outcome(self._db, job) if job.long else outcome
                for job, outcome in zip(transaction.jobs, transaction.outcomes, strict=True)
            ]
            self._db.execute("COMMIT")
        except (sqlite3.Error, StoreUnavailable) as error:
            return [self._rolled_back(error)] * len(transaction.jobs)
        return outcomes

    def _rolled_back(self, error: sqlite3.Error | StoreUnavailable) -> StoreError:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as second:
            error = second
        return error if isinstance(error, StoreUnavailable) else translated(error)

    def _end(self, transaction: Transaction, delay: float = 0.0) -> None:
        """Tell how the changes ended, and let the next transaction begin after *delay* seconds."""
        _tell(transaction.jobs, transaction.outcomes)
        with self._lock:
            self._active = False
        self._next(delay)

    def _next(self, delay: float = 0.0) -> None:
        """Let the loops of the changes that wait begin; or end these, after the store is closed."""
        ended: list[_Job] = []
        with self._lock:
            if self._closing:
                ended, self._waiting = self._waiting, []
            for loop in {job.loop for job in self._waiting} - self._called:
                try:
                    if delay:
                        loop.call_soon_threadsafe(loop.call_later, delay, self._begin)
                    else:
                        loop.call_soon_threadsafe(self._begin)
                except RuntimeError:  # it is closed: no caller waits any more
                    self._waiting = [job for job in self._waiting if job.loop is not loop]
                else:
                    self._called.add(loop)
        _tell(ended, [StoreUnavailable("the store is closed")] * len(ended))


def _tell(jobs: list[_Job], outcomes: list[Any]) -> None:
    """Tell each event loop once how its changes ended."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        of_loops.setdefault(job.loop, []).append((job.future, outcome))
    for loop, settled in of_loops.items():
        with contextlib.suppress(RuntimeError):  # it is closed: no caller waits any more
            loop.call_soon_threadsafe(_resolve, settled)


def _nothing(_: sqlite3.Connection) -> None:
    """A change of nothing: the changes before it end first."""


def _outcome(db: sqlite3.Connection, job: _Job) -> Any:
    """What one operation returned or raised. If it fails, the others of the batch continue."""
    if job.future.done():
        return None  # its caller has given up: for it the outcome is unknown
    try:
        return job.operation(db)
    except _OF_ONE_STATEMENT as fault:
        return fault
    except sqlite3.Error:
        raise  # the disk, the lock, a damaged page: that is everybody's
    except Exception as fault:  # noqa: BLE001  (its caller gets it)
        return fault


def _resolve(settled: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, outcome in settled:
        if future.done():  # its caller went away; what was written stays written
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _give_up(future: "asyncio.Future[Any]") -> None:
    """End a wait that takes too long. An operation that did not begin never will."""
    if not future.done():
        future.set_exception(StoreUnavailable("the database does not answer in time"))


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error) -> StoreError:
    """Mintage's error for SQLite's: what a person must fix, or an outage."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreUnusable(f"the database is damaged ({name}); restore it from a backup")
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(f"the disk does not read or write ({name})")
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailable(f"the disk is full ({name})")
    return StoreUnavailable(f"the database does not answer ({name})")
