"""The embedded default: one SQLite file, durable, shared by any number of processes.

Reads run in the calling thread: a look-up takes some ten microseconds, and a change of threads
twenty times that. Writes go through one thread, which puts all waiting writes into one transaction,
so that they share one fsync. A write that returned is on disk (WAL, synchronous=FULL).
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Self

import msgspec

from mintage.concurrency.backoff import pause
from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.protocol import (
    EVERYTHING,
    HEAD_BYTES,
    SWEEP_MARGIN,
    UNLISTED,
    Cursor,
    Entry,
    Index,
    Page,
    Row,
    Status,
    Versioned,
)
from mintage.stores.sqlite_file import FileGuard
from mintage.stores.sqlite_schema import connect, prepare
from mintage.values import Clock

_SECONDS: Final = 5.0  # for a call, its wait for the lock and for the disk included
_BATCH: Final = 256  # writes in one transaction at the most
_KEEP_CHANGES: Final = 300  # seconds that the log of changes goes back
_ROWS: Final = 500  # read at once while all are read
_TRIM: Final = 1000  # rows of that log removed at once
_TRIM_EVERY: Final = 64  # writes, so that few of them touch the log's beginning as well

# Only the log's first rows are looked at: they are its oldest, and it may be long.
_TRIM_LOG: Final = (
    "DELETE FROM change WHERE version IN (SELECT version FROM"
    " (SELECT version, at FROM change ORDER BY version LIMIT ?) WHERE at <= ?)"
)

# A change is logged before it is made, if the record is as it must be: what is logged is the
# decision. Each statement gives the interpreter's lock away, so there are as few as can be.
_LOG_INSERT: Final = (
    "INSERT INTO change (key, at) SELECT :key, :now"
    " WHERE NOT EXISTS (SELECT 1 FROM record WHERE key = :key AND expires_at > :now)"
)
_LOG_REPLACE: Final = (
    "INSERT INTO change (key, at) SELECT :key, :now"
    " WHERE EXISTS (SELECT 1 FROM record"
    " WHERE key = :key AND expires_at > :now AND version = :version)"
)
_LOG_DELETE: Final = (
    "INSERT INTO change (key, at) SELECT :key, :now"
    " WHERE EXISTS (SELECT 1 FROM record WHERE key = :key)"
)

_INSERT: Final = (
    "INSERT OR REPLACE INTO record (key, version, record, expires_at, subject, client, summary)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = "UPDATE record SET version = ?, record = ?, expires_at = ? WHERE key = ?"
# SQLite writes an index anew if its column is only mentioned.
_UPDATE_UNDER_ITS_NAMES: Final = (
    "UPDATE record SET version = ?, record = ?, expires_at = ?, summary = ?"
    " WHERE key = ? AND subject = ? AND client = ?"
)
_UPDATE_WITH_NAMES: Final = (
    "UPDATE record SET version = ?, record = ?, expires_at = ?,"
    " subject = ?, client = ?, summary = ? WHERE key = ?"
)

# What refuses a statement before it has changed anything.
_OF_ONE_STATEMENT: Final = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)

_Operation = Callable[[sqlite3.Connection], Any]
Rows = list[tuple[Any, ...]]


class _Job(msgspec.Struct, frozen=True):
    operation: _Operation
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class SQLiteStore:
    """Open it with `open`. *poll*: seconds between two checks for other processes' writes."""

    def __init__(
        self, path: Path, reader: sqlite3.Connection, writer: sqlite3.Connection, clock: Clock,
        poll: float,
    ) -> None:  # fmt: skip
        self._path = path
        self._reader = reader
        self._clock = clock
        self._poll = poll
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._guard = FileGuard(path)
        self._thread = threading.Thread(
            target=_write,
            args=(writer, self._queue, self._guard, clock),
            name="mintage-sqlite",
            daemon=True,
        )
        self._thread.start()

    @classmethod
    async def open(cls, path: str | Path, *, clock: Clock = time.time, poll: float = 0.05) -> Self:
        """The store in the file *path*, made if there is none (its directory must exist).

        Raises `StoreUnusable` for a file that is not a store of Mintage, newer than this program
        or damaged, and leaves it as it is; `StoreUnavailable` where it can't be opened.
        """
        file = Path(path)
        await asyncio.to_thread(prepare, file)
        try:
            return cls(file, connect(file, readonly=True), connect(file), clock, poll)
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        now = self._now()
        names = _names(index)

        def operation(db: sqlite3.Connection) -> None:
            version = _logged(db, _LOG_INSERT, key, now)
            if version is None:
                raise Exists
            db.execute(_INSERT, (key, version, record, expires_at, *names))

        await self._do(operation)

    async def load(self, key: bytes) -> Versioned | None:
        rows = await self._read(
            "SELECT record, version FROM record WHERE key = ? AND expires_at > ?",
            (key, self._now()),
        )
        return Versioned(*rows[0]) if rows else None

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        now = self._now()

        def operation(db: sqlite3.Connection) -> None:
            version = _logged(db, _LOG_REPLACE, key, now, old.version)
            if version is None:
                raise Stale
            values = version, record, expires_at
            if index is None:
                db.execute(_UPDATE, (*values, key))
                return
            subject, client, summary = _names(index)
            same = (*values, summary, key, subject, client)
            if subject is None or not db.execute(_UPDATE_UNDER_ITS_NAMES, same).rowcount:
                db.execute(_UPDATE_WITH_NAMES, (*values, subject, client, summary, key))

        await self._do(operation)

    async def delete(self, key: bytes) -> None:
        now = self._now()

        def operation(db: sqlite3.Connection) -> None:
            if _logged(db, _LOG_DELETE, key, now) is not None:
                db.execute("DELETE FROM record WHERE key = ?", (key,))

        await self._do(operation)

    async def changes(self) -> AsyncIterator[bytes]:
        """Changed keys, own ones included, within *poll* seconds and a little."""
        seen = await self._last_change()
        before: int | None = None
        failures = 0
        while not self._closed:
            await asyncio.sleep(self._poll)
            try:
                self._guard.check()
                ((data,),) = await self._read("PRAGMA data_version")
                if data == before:
                    continue
                # Before the rows: they may go beyond it, not it them.
                last = await self._last_change()
                rows = await self._read(
                    "SELECT version, key FROM change WHERE version > ? ORDER BY version", (seen,)
                )
            except StoreError:
                # What is missed meanwhile is still in the log, or counted as trimmed.
                await asyncio.sleep(pause(failures, random.random))
                failures += 1
                continue
            before, failures = data, 0
            # The log has no gaps but the one at its beginning, where it was trimmed.
            if rows[0][0] != seen + 1 if rows else last > seen:
                yield EVERYTHING
            for _, key in rows:
                yield key
            seen = rows[-1][0] if rows else max(seen, last)

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        conditions, values = ["subject IS NOT NULL", "expires_at > ?"], [self._now()]
        # The "+" keeps SQLite from the client's index: a client has many grants, a user few.
        by_client = "client" if subject is None else "+client"
        for column, value in (("subject", subject), (by_client, client)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]
        if after is not None:
            conditions.append("key > ?")
            values.append(after)  # type: ignore[arg-type]
        rows = await self._read(
            f"SELECT key, summary, expires_at, substr(record, 1, {HEAD_BYTES}) FROM record"  # noqa: S608  (fixed conditions)
            f" WHERE {' AND '.join(conditions)} ORDER BY key LIMIT ?",
            (*values, limit + 1),
        )
        entries = tuple(Entry(*row) for row in rows[:limit])
        return Page(entries, Cursor(entries[-1].key) if len(rows) > limit else None)

    async def sweep(self, limit: int = 1000) -> int:
        now = self._now()

        def operation(db: sqlite3.Connection) -> int:
            db.execute(_TRIM_LOG, (_TRIM, now - _KEEP_CHANGES))
            return db.execute(
                "DELETE FROM record WHERE key IN"
                " (SELECT key FROM record WHERE expires_at <= ? LIMIT ?)",
                (now - SWEEP_MARGIN, limit),
            ).rowcount

        swept: int = await self._do(operation)
        return swept

    async def rows(self) -> AsyncIterator[Row]:
        after = b""
        while True:
            found = await self._read(
                "SELECT key, record, expires_at, subject, client, summary FROM record"
                " WHERE key > ? ORDER BY key LIMIT ?",
                (after, _ROWS),
            )
            now = self._now()
            for key, record, expires_at, *names in found:
                if expires_at > now:
                    index = None if names[0] is None else Index(*names)
                    yield Row(key, record, expires_at, index)
            if len(found) < _ROWS:
                return
            after = found[-1][0]

    async def status(self) -> Status:
        """There is no clock but the machine's."""
        self._guard.check()
        await self._read("SELECT 1 FROM record LIMIT 1")
        return Status()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()

    async def _do(self, operation: _Operation) -> Any:
        """What *operation* returned or raised, once its transaction is on disk."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        limit = loop.call_later(_SECONDS, _give_up, future)
        self._queue.put(_Job(operation, loop, future))
        try:
            return await future
        finally:
            limit.cancel()

    async def _read(self, sql: str, values: tuple[Any, ...] = ()) -> "Rows":
        """Rows. While another process locks the file, it waits without blocking the event loop."""
        deadline: float | None = None
        failures = 0
        while True:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._guard.refuse_if_replaced()
            try:
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                now = time.monotonic()
                deadline = deadline or now + _SECONDS
                if not _is_busy(error) or now > deadline:
                    raise _translated(error) from error
            await asyncio.sleep(pause(failures, random.random, first=0.001, most=0.1))
            failures += 1

    async def _last_change(self) -> int:
        rows = await self._read("SELECT seq FROM sqlite_sequence WHERE name = 'change'")
        return rows[0][0] if rows else 0

    def _now(self) -> int:
        return int(self._clock())


def _names(index: Index | None) -> tuple[bytes | None, bytes | None, bytes | None]:
    if index is None or index == UNLISTED:
        return None, None, None
    return index.subject, index.client, index.summary


def _logged(
    db: sqlite3.Connection, statement: str, key: bytes, now: int, version: int | None = None
) -> int | None:
    """Tell other processes that *key* changes, if it may. Returns the record's new version.

    The version is the log's own number, so it never comes twice, not even for a key that was
    deleted in between. If the change then fails, others look at a record that is as before.
    """
    cursor = db.execute(statement, {"key": key, "now": now, "version": version})
    return cursor.lastrowid if cursor.rowcount else None


def _write(
    db: sqlite3.Connection, queue: "SimpleQueue[_Job | None]", guard: FileGuard, clock: Clock
) -> None:
    """The writer thread: it puts all waiting writes into one transaction."""
    untrimmed = 0
    job = queue.get()
    while job is not None:
        batch = [job]
        while len(batch) < _BATCH and not queue.empty() and (job := queue.get()) is not None:
            batch.append(job)
        # Two old ones go for each that comes, so that the log can't outgrow what it has to tell.
        untrimmed += len(batch)
        trim = None
        if untrimmed >= _TRIM_EVERY:
            trim, untrimmed = (2 * untrimmed, int(clock()) - _KEEP_CHANGES), 0
        _settle(batch, _commit(db, batch, guard, trim))
        if job is not None:
            job = queue.get()
    db.close()


def _commit(
    db: sqlite3.Connection, batch: list[_Job], guard: FileGuard, trim: tuple[int, int] | None
) -> list[Any]:
    """The result of each of *batch*. If the transaction fails, all of them fail.

    *trim*: how many rows of the log may go, and from when at the latest.
    """
    try:
        guard.check()
    except StoreUnavailable as replaced:
        return [replaced] * len(batch)
    try:
        db.execute("BEGIN IMMEDIATE")
        if trim is not None:
            db.execute(_TRIM_LOG, trim)
        outcomes = [_outcome(db, job) for job in batch]
        db.execute("COMMIT")
    except sqlite3.Error as error:
        failure = _translated(error)
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error as second:
            failure = _translated(second)
        return [failure] * len(batch)
    return outcomes


def _outcome(db: sqlite3.Connection, job: _Job) -> Any:
    """The result of one operation. If it fails, the others of the batch continue."""
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


def _settle(batch: list[_Job], outcomes: list[Any]) -> None:
    """Wake each event loop once."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in zip(batch, outcomes, strict=True):
        of_loops.setdefault(job.loop, []).append((job.future, outcome))
    for loop, settled in of_loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, settled)
        except RuntimeError:  # it is closed: no caller waits any more
            continue


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


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _translated(error: sqlite3.Error) -> StoreError:
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
