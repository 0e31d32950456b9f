"""PostgreSQL, for several machines. Every step is one statement, decided by the row it finds.

A transaction that returned is as durable as the server's ``synchronous_commit`` says.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from mintage.extras import extra

with extra("postgres"):
    import asyncpg

from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.backoff import pause
from mintage.stores.protocol import EVERYTHING, HEAD_BYTES, Cursor, Entry, Index, Page, Versioned
from mintage.values import Clock

T = TypeVar("T")

POOL_SIZE: Final = 10
_SECONDS: Final = 5.0  # for a call, its wait for a connection included
_HEARTBEAT: Final = 1.5  # after so long a silence the feed is asked whether it lives
_CHANNEL: Final = "mintage_changes"
# The last is what asyncpg itself stumbles over when a server dies in the middle of an answer.
_FAILURES: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_SCHEMA_LOCK: Final = 0x4D696E7461676531  # one process at a time makes or upgrades the tables

MIGRATIONS: Final = (
    """
    CREATE SEQUENCE mintage_version AS bigint;
    CREATE TABLE mintage_record (
        key bytea PRIMARY KEY,
        version bigint NOT NULL,
        record bytea NOT NULL,
        expires_at bigint NOT NULL,
        subject bytea,
        client bytea,
        summary bytea
    );
    CREATE INDEX mintage_record_by_expiry ON mintage_record (expires_at);
    CREATE INDEX mintage_record_by_subject ON mintage_record (subject, key)
        WHERE subject IS NOT NULL;
    CREATE INDEX mintage_record_by_client ON mintage_record (client, key)
        WHERE client IS NOT NULL;
    """,
)
"""Number n brings the tables from version n to n + 1; an old one never changes."""

_INSERT: Final = """
    INSERT INTO mintage_record AS r
        (key, version, record, expires_at, subject, client, summary)
    VALUES ($1, nextval('mintage_version'), $2, $3, $4, $5, $6)
    ON CONFLICT (key) DO UPDATE SET
        version = excluded.version, record = excluded.record, expires_at = excluded.expires_at,
        subject = excluded.subject, client = excluded.client, summary = excluded.summary
    WHERE r.expires_at <= $7
    RETURNING 1
"""
_LOAD: Final = "SELECT record, version FROM mintage_record WHERE key = $1 AND expires_at > $2"
# The notice goes out with the commit, and only if there was something to change.
_REPLACE: Final = f"""
    WITH changed AS (
        UPDATE mintage_record
        SET version = nextval('mintage_version'), record = $3, expires_at = $4,
            subject = coalesce($6, subject), client = coalesce($7, client),
            summary = coalesce($8, summary)
        WHERE key = $1 AND version = $2 AND expires_at > $5
        RETURNING key
    )
    SELECT pg_notify('{_CHANNEL}', encode(key, 'hex')) FROM changed
"""  # noqa: S608
_DELETE: Final = f"""
    WITH gone AS (DELETE FROM mintage_record WHERE key = $1 RETURNING key)
    SELECT pg_notify('{_CHANNEL}', encode(key, 'hex')) FROM gone
"""  # noqa: S608
_LIST: Final = f"""
    SELECT key, summary, expires_at, substr(record, 1, {HEAD_BYTES}) FROM mintage_record
    WHERE subject IS NOT NULL AND expires_at > $1
        AND ($2::bytea IS NULL OR subject = $2)
        AND ($3::bytea IS NULL OR client = $3)
        AND ($4::bytea IS NULL OR key > $4)
    ORDER BY key LIMIT $5
"""  # noqa: S608
# Rows that somebody else has locked are left for the next sweep.
_SWEEP: Final = """
    WITH gone AS (
        DELETE FROM mintage_record WHERE key IN (
            SELECT key FROM mintage_record WHERE expires_at <= $1
            LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
    )
    SELECT count(*) FROM gone
"""


class PostgresStore:
    """Open it with `open`. The pool is bounded, and every call has a time-out."""

    def __init__(self, url: str, pool: "asyncpg.Pool[asyncpg.Record]", clock: Clock) -> None:
        self._url = url
        self._pool = pool
        self._clock = clock
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, url: str, *, clock: Clock = time.time) -> Self:
        """The store in the database at *url* (a libpq URL); its tables are made if missing.

        Raises `StoreUnavailable`, and `StoreUnusable` for tables of a newer Mintage.
        """
        try:
            pool = await asyncpg.create_pool(
                url, min_size=1, max_size=POOL_SIZE, timeout=_SECONDS, reset=_nothing_to_reset
            )
        except _FAILURES as error:
            raise _translated(error) from None
        store = cls(url, pool, clock)
        try:
            await store._do(_migrate)
        except StoreError:
            await store.close()
            raise
        return store

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        values = (key, record, expires_at, *_names(index), self._now())
        if await self._do(lambda db: db.fetchval(_INSERT, *values)) is None:
            raise Exists

    async def load(self, key: bytes) -> Versioned | None:
        row = await self._do(lambda db: db.fetchrow(_LOAD, key, self._now()))
        return None if row is None else Versioned(*row)

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        values = (key, old.version, record, expires_at, self._now(), *_names(index))
        if not await self._do(lambda db: db.fetch(_REPLACE, *values)):
            raise Stale

    async def delete(self, key: bytes) -> None:
        await self._do(lambda db: db.execute(_DELETE, key))

    async def changes(self) -> AsyncIterator[bytes]:
        """Keys as they change; `EVERYTHING` as soon as it listens again after a break."""
        failures = 0
        while not self._closed.is_set():
            try:
                async with contextlib.aclosing(self._listen()) as heard:
                    async for key in heard:
                        failures = 0
                        yield key
            except _FAILURES:
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
        values = (self._now(), subject, client, after, limit + 1)
        rows = await self._do(lambda db: db.fetch(_LIST, *values))
        entries = tuple(Entry(*row) for row in rows[:limit])
        return Page(entries, Cursor(entries[-1].key) if len(rows) > limit else None)

    async def sweep(self, limit: int = 1000) -> int:
        swept: int = await self._do(lambda db: db.fetchval(_SWEEP, self._now(), limit))
        return swept

    async def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            await asyncio.wait_for(self._pool.close(), _SECONDS)
        except TimeoutError:
            self._pool.terminate()

    async def _listen(self) -> AsyncGenerator[bytes, None]:
        """Keys from one connection, until it breaks (`_FAILURES`) or the store is closed."""
        heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        db = await asyncpg.connect(self._url, timeout=_SECONDS, command_timeout=_HEARTBEAT)
        closing = asyncio.create_task(self._closed.wait())
        for ended in (closing.add_done_callback, db.add_termination_listener):
            ended(lambda _: heard.put_nowait(None))
        try:
            await db.add_listener(
                _CHANNEL, lambda *notice: heard.put_nowait(bytes.fromhex(notice[3]))
            )
            yield EVERYTHING  # whatever changed before, nobody told us
            while not self._closed.is_set():
                try:
                    key = await asyncio.wait_for(heard.get(), _HEARTBEAT)
                except TimeoutError:
                    await db.execute("")  # a line that was cut without a word fails here
                    continue
                if key is None:
                    raise ConnectionResetError
                yield key
        finally:
            closing.cancel()
            db.terminate()

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if self._closed.is_set():
            raise StoreUnavailable("the store is closed")
        try:
            async with asyncio.timeout(_SECONDS) as limit, self._pool.acquire() as db:
                try:
                    return await work(db)
                except (asyncpg.ReadOnlySQLTransactionError, asyncio.CancelledError) as error:
                    # A server that may not write has given its place to another, and one that
                    # is silent says nothing to farewells either: the next call connects anew.
                    if limit.expired() or isinstance(error, asyncpg.PostgresError):
                        db.terminate()
                    raise
        except _FAILURES as error:
            raise _translated(error) from None

    def _now(self) -> int:
        return int(self._clock())


def _names(index: Index | None) -> tuple[bytes | None, bytes | None, bytes | None]:
    return (index.subject, index.client, index.summary) if index else (None, None, None)


async def _nothing_to_reset(_: Any) -> None:
    """No statement of ours leaves anything behind; asking the server to clean up costs a trip."""


async def _migrate(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """All missing steps in one transaction; of several processes one does them."""
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await db.execute("CREATE TABLE IF NOT EXISTS mintage_schema (version int NOT NULL)")
        version = await db.fetchval("SELECT version FROM mintage_schema")
        if version is not None and version > len(MIGRATIONS):
            raise StoreUnusable(
                f"these tables were written by a newer Mintage (format {version}; this one "
                f"knows {len(MIGRATIONS)}): upgrade Mintage, or name another database"
            )
        for script in MIGRATIONS[version or 0 :]:
            await db.execute(script)
        if version is None:
            await db.execute("INSERT INTO mintage_schema VALUES ($1)", len(MIGRATIONS))
        elif version < len(MIGRATIONS):
            await db.execute("UPDATE mintage_schema SET version = $1", len(MIGRATIONS))


def _translated(error: BaseException) -> StoreError:
    """The server's word in ours, without what was in the statement."""
    name = type(error).__name__
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return StoreUnusable(f"PostgreSQL refuses the user or password ({name})")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return StoreUnusable("PostgreSQL has no such database; create it first")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StoreUnusable(f"the user may not do this in PostgreSQL ({name})")
    return StoreUnavailable(f"PostgreSQL does not answer ({name})")
