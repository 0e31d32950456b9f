"""PostgreSQL, for several machines. Every step is one statement, which decides by the row.

A transaction that returned is as durable as the server's ``synchronous_commit`` says.
"""

import asyncio
import contextlib
import itertools
import logging
import random
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, Self, TypeVar

from mintage.extras import extra

with extra("postgres"):
    import asyncpg

from mintage.concurrency.backoff import pause
from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.postgres_feed import POLL, Table, listen, poll
from mintage.stores.postgres_schema import prepare
from mintage.stores.postgres_sql import Statements
from mintage.stores.postgres_url import Place
from mintage.stores.protocol import (
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
from mintage.values import Clock

T = TypeVar("T")

log = logging.getLogger("mintage.store")

_SECONDS: Final = 5.0  # for a call, its wait for a connection included
# The last is what asyncpg itself stumbles over when a server dies in the middle of an answer.
_FAILURES: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_PATIENCE: Final = 4.0  # seconds, of the five that a call may take
_FULL: Final = (asyncpg.TooManyConnectionsError, asyncpg.CannotConnectNowError)
_ROWS: Final = 500  # read at once while all are read
_TRIM: Final = 5000  # changes removed at once
_KEEP_CHANGES: Final = 300.0  # seconds
_QUEUE_USED: Final = 0.5  # of the queue of notices, from which on it is a warning


class PostgresStore:
    """Open it with `open`. The pool is limited, and every call has a time-out."""

    def __init__(
        self, place: Place, pool: "asyncpg.Pool[asyncpg.Record]", clock: Clock, *, pooled: bool
    ) -> None:
        self._place = place
        self._pool = pool
        self._clock = clock
        self._pooled = pooled
        self._sql = Statements.of(place)
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, url: str, *, clock: Clock = time.time, existing: bool = False) -> Self:
        """The store in the database at *url* (a libpq URL).

        Its tables are made if missing, unless they are to be *existing*.

        The URL may say more: ``schema=NAME`` for tables of one's own in a shared database,
        ``pool_size=N`` connections at most, ``pooler=transaction`` where PgBouncer or the like
        is between and is not noticed (``none`` where it is noticed and should not be).

        Raises `StoreUnavailable`, and `StoreUnusable` for tables that are too new or that this
        role may not use.
        """
        place = Place.parse(url)
        try:
            async with asyncio.timeout(_SECONDS):
                pooled = place.pooled
                if pooled is None:
                    pooled = await _patiently(lambda: _is_pooled(place.url))
                pool = await _patiently(lambda: _pool(place, pooled=pooled))
        except _FAILURES as error:
            raise _translated(error) from None
        store = cls(place, pool, clock, pooled=pooled)
        try:
            await store._do(lambda db: prepare(db, place, existing=existing))
        except StoreError:
            await store.close()
            raise
        if pooled:
            log.warning(
                "a transaction pooler is between Mintage and PostgreSQL: each call takes two "
                "more round trips, and changes of other processes are seen after up to %s s; "
                "connect directly to spare both",
                POLL,
            )
        return store

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        values = (key, record, expires_at, *_names(index), self._now())
        if await self._do(lambda db: db.fetchval(self._sql.insert, *values)) is None:
            raise Exists

    async def load(self, key: bytes) -> Versioned | None:
        row = await self._do(lambda db: db.fetchrow(self._sql.load, key, self._now()))
        return None if row is None else Versioned(*row)

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        names, listed = _names(index), index is not None
        values = (key, old.version, record, expires_at, self._now(), *names, listed)
        if not await self._do(lambda db: db.fetch(self._sql.replace, *values)):
            raise Stale

    async def delete(self, key: bytes) -> None:
        await self._do(lambda db: db.execute(self._sql.delete, key))

    async def changes(self) -> AsyncIterator[bytes]:
        """Keys as they change; `EVERYTHING` when it listens again after an interruption."""
        failures = 0
        while not self._closed.is_set():
            try:
                async with contextlib.aclosing(self._feed()) as heard:
                    async for key in heard:
                        failures = 0
                        yield key
            except (StoreError, *_FAILURES):
                await asyncio.sleep(pause(failures, random.random))
                failures += 1

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        statement, wanted = self._sql.list_all, list[bytes | None]()
        if subject is not None:
            statement, wanted = self._sql.list_of_subject, [subject, client]
        elif client is not None:
            statement, wanted = self._sql.list_of_client, [client]
        values = (self._now(), after or b"", limit + 1, *wanted)
        rows = await self._do(lambda db: db.fetch(statement, *values))
        entries = tuple(Entry(*row) for row in rows[:limit])
        return Page(entries, Cursor(entries[-1].key) if len(rows) > limit else None)

    async def sweep(self, limit: int = 1000) -> int:
        due = self._now() - SWEEP_MARGIN
        swept: int = await self._do(lambda db: db.fetchval(self._sql.sweep, due, limit))
        while await self._do(lambda db: db.fetchval(self._sql.trim, _TRIM, _KEEP_CHANGES)) == _TRIM:
            pass
        return swept

    async def rows(self) -> AsyncIterator[Row]:
        after = b""
        while True:
            found = await self._do(partial(_fetch, self._sql.rows, after, _ROWS))
            now = self._now()
            for key, record, expires_at, *names in found:
                if expires_at > now:
                    yield Row(key, record, expires_at, Index(*names) if names[0] else None)
            if len(found) < _ROWS:
                return
            after = found[-1][0]

    async def status(self) -> Status:
        now, used = await self._do(lambda db: db.fetchrow(self._sql.status))
        if used < _QUEUE_USED:
            return Status(float(now), notification_queue_usage=float(used))
        full = (
            f"PostgreSQL's queue of notices is {used:.0%} full: a process that listens to it is "
            "stopped or hangs; when it is full, no login can be written"
        )
        return Status(float(now), (full,), notification_queue_usage=float(used))

    async def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            async with asyncio.timeout(_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def _feed(self) -> AsyncGenerator[bytes, None]:
        if not self._pooled:
            return listen(self._place.url, self._place.channel, self._closed)

        name = secrets.token_bytes(8)

        async def enrol() -> None:
            await self._do(lambda db: db.execute(self._sql.enrol, name))

        async def stay() -> bool:
            return bool(await self._do(lambda db: db.fetchval(self._sql.stay, name)))

        async def start(late: float) -> int:
            found: int = await self._do(lambda db: db.fetchval(self._sql.changes_start, late))
            return found

        async def since(floor: int, limit: int) -> list[tuple[int, bytes]]:
            rows = await self._do(lambda db: db.fetch(self._sql.changes_since, floor, limit))
            return [(number, key) for number, key in rows]

        return poll(Table(enrol, stay, start, since), self._closed)

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if self._closed.is_set():
            raise StoreUnavailable("the store is closed")
        try:
            async with asyncio.timeout(_SECONDS) as limit:
                db = await _patiently(self._pool.acquire)
                try:
                    return await self._work(db, work)
                except (asyncpg.ReadOnlySQLTransactionError, asyncio.CancelledError) as error:
                    # A server that may not write has given its place to another, and one that
                    # is silent does not answer a goodbye either: the next call connects anew.
                    if limit.expired() or isinstance(error, asyncpg.PostgresError):
                        db.terminate()
                    raise
                finally:
                    await self._pool.release(db)
        except _FAILURES as error:
            raise _translated(error) from None

    async def _work(self, db: Any, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run *work* on one connection. Behind a pooler that takes a transaction."""
        if not self._pooled:
            return await work(db)
        async with db.transaction(isolation="read_committed"):
            return await work(db)

    def _now(self) -> int:
        return int(self._clock())


async def _fetch(query: str, after: bytes, limit: int, db: Any) -> Any:
    return await db.fetch(query, after, limit)


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of *attempt*. While the server has no free connection, it pauses and tries again.

    After a while it raises the server's error: the caller's time-out would call the server silent.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + _PATIENCE
    for failures in itertools.count():
        try:
            return await attempt()
        except _FULL:
            if clock() >= until:
                raise
        await asyncio.sleep(pause(failures, random.random, first=0.02, most=0.2))
    raise AssertionError("it counts for ever")


async def _is_pooled(url: str) -> bool:
    """Whether the server that answers is not the one that was connected to."""
    db = await asyncpg.connect(url, timeout=_SECONDS, statement_cache_size=0)
    try:
        async with db.transaction():
            answering = await db.fetchval("SELECT pg_backend_pid()")
        return bool(answering != db.get_server_pid())
    finally:
        db.terminate()


async def _pool(place: Place, *, pooled: bool) -> "asyncpg.Pool[asyncpg.Record]":
    options: dict[str, Any] = {"statement_cache_size": 0} if pooled else {"init": _settle}
    return await asyncpg.create_pool(
        place.url,
        min_size=1,
        max_size=place.pool_size,
        timeout=_SECONDS,
        reset=_nothing_to_reset,
        **options,
    )


async def _settle(db: Any) -> None:
    """Set the isolation level: a stricter default would turn a lost race into an error."""
    await db.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")


def _names(index: Index | None) -> tuple[bytes | None, bytes | None, bytes | None]:
    if index is None or index == UNLISTED:
        return None, None, None
    return index.subject, index.client, index.summary


async def _nothing_to_reset(_: Any) -> None:
    """Mintage's statements leave nothing behind, so the round trip of a reset is saved."""


def _translated(error: BaseException) -> StoreError:
    """Mintage's error for the server's, without the content of the statement."""
    name = type(error).__name__
    for kind, sentence in _UNUSABLE.items():
        if isinstance(error, kind):
            return StoreUnusable(sentence.format(name=name, said=error))
    if isinstance(error, _FULL):
        return StoreUnavailable(
            f"PostgreSQL has no connection free ({name}): put a smaller ?pool_size=N on the "
            "store's URL, or raise max_connections"
        )
    if isinstance(error, asyncpg.PostgresError):
        return StoreUnavailable(f"PostgreSQL refuses for now ({name})")
    return StoreUnavailable(f"PostgreSQL does not answer ({name})")


# What a person must mend. The server's own sentence is shown where it names only an object.
_UNUSABLE: Final[dict[type[BaseException], str]] = {
    asyncpg.InvalidAuthorizationSpecificationError: (
        "PostgreSQL refuses the user or password ({name})"
    ),
    asyncpg.InvalidCatalogNameError: "PostgreSQL has no such database; create it first",
    asyncpg.InsufficientPrivilegeError: "this role may not do that in PostgreSQL: {said}",
    asyncpg.UndefinedTableError: "Mintage's tables are gone ({said}): run `mintage store init`",
    asyncpg.InvalidSQLStatementNameError: (
        "a pooler in transaction mode is between Mintage and PostgreSQL: put "
        "?pooler=transaction on the store's URL"
    ),
    asyncpg.DuplicatePreparedStatementError: (
        "a pooler in transaction mode is between Mintage and PostgreSQL: put "
        "?pooler=transaction on the store's URL"
    ),
}
