"""The embedded default: one SQLite file, durable, shared by any number of processes.

Reads run in the event loop: a look-up takes some ten microseconds, and a change of threads twenty
times that. All changes that wait share one transaction and one fsync (`sqlite_writer`). A change
that returned is on disk (WAL, synchronous=FULL).
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

from mintage.concurrency.backoff import pause
from mintage.errors import Exists, Stale, StoreError, StoreUnavailable
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
from mintage.stores.sqlite_writer import (
    KEEP_CHANGES,
    TRIM_LOG,
    Operation,
    SQLiteWriter,
    is_busy,
    translated,
)
from mintage.values import Clock

_SECONDS: Final = 5.0  # for a call, its wait for the lock and for the disk included
_ROWS: Final = 500  # read at once while all are read
_TRIM: Final = 1000  # rows of that log removed at once

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

Rows = list[tuple[Any, ...]]


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
        self._closed = False
        self._guard = FileGuard(path)
        self._writer = SQLiteWriter(writer, self._guard, clock)

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
            raise translated(error) from error

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        now = self._now()
        names = _names(index)

        def operation(db: sqlite3.Connection) -> None:
            version = _logged(db, _LOG_INSERT, key, now)
            if version is None:
                raise Exists
            db.execute(_INSERT, (key, version, record, expires_at, *names))

        await self._change(operation)

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

        await self._change(operation)

    async def delete(self, key: bytes) -> None:
        now = self._now()

        def operation(db: sqlite3.Connection) -> None:
            if _logged(db, _LOG_DELETE, key, now) is not None:
                db.execute("DELETE FROM record WHERE key = ?", (key,))

        await self._change(operation)

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
            db.execute(TRIM_LOG, (_TRIM, now - KEEP_CHANGES))
            return db.execute(
                "DELETE FROM record WHERE key IN"
                " (SELECT key FROM record WHERE expires_at <= ? LIMIT ?)",
                (now - SWEEP_MARGIN, limit),
            ).rowcount

        swept: int = await self._change(operation, long=True)
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
        await self._writer.close()
        self._reader.close()

    async def _change(self, operation: Operation, *, long: bool = False) -> Any:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._writer.change(operation, long=long)

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
                if not is_busy(error) or now > deadline:
                    raise translated(error) from error
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
