"""What a request, a refresh and a login cost as a store grows: ``python -m benchmarks.growth``.

Each engine has two stores: one stays small, the other grows. Both do the same work in turns, so
the ratio between them is the cost of the growth alone, whatever else the machine does. The large
one is filled in batches, with the rows that logins write.
"""

import argparse
import asyncio
import os
import secrets
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from msgspec.structs import replace
from redis.asyncio import Redis
from tests.support.servers import program

from benchmarks.aims import Aim, tell
from benchmarks.engines import engines
from benchmarks.timing import machine
from benchmarks.vault import CLIENT, House, size_of
from mintage.grants.handles import Handle
from mintage.grants.transitions import Refreshment
from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store
from mintage.stores.postgres import PostgresStore
from mintage.stores.protocol import HEAD_BYTES, SWEEP_MARGIN, Index, Row, Store
from mintage.stores.redis import RedisStore
from mintage.stores.redis_names import _member, packed
from mintage.stores.sqlite import _INSERT, SQLiteStore
from mintage.stores.sqlite_schema import connect

SIZES: Final = (1_000, 100_000, 1_000_000)
ROUNDS: Final = 60
CLIENTS: Final = 10  # that share the grants: each has a tenth of them
BATCH: Final = 2000  # grants that are written at once while it is filled
SQLITE_CACHE: Final = 400_000  # KiB, while it is filled
PIPED: Final = 250  # of them in one script
MOST: Final = 1.25  # times as dear as in the small store

Call = Callable[[], Awaitable[Any]]
Write = Callable[[list[Row]], Awaitable[None]]
Writing = Callable[[], AbstractAsyncContextManager[Write]]
Size = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Stored:
    """A store, and what fills it: a real grant's *row*, under other names each time."""

    row: Row
    clients: tuple[bytes, ...]
    writing: Writing

    @classmethod
    async def of(cls, store: Store) -> "Stored":
        await House.on(store).logged_in()
        async for row in store.rows():
            if row.index is not None:
                break
        else:
            raise AssertionError("a login left no row in a list")
        clients = tuple(secrets.token_bytes(32) for _ in range(CLIENTS))
        return cls(row, clients, partial(writing, store))

    async def fill(self, count: int) -> None:
        """Add *count* grants of users of their own."""
        async with self.writing() as write:
            for begin in range(0, count, BATCH):
                numbers = range(begin, min(begin + BATCH, count))
                await write([self._row(number) for number in numbers])

    def _row(self, number: int) -> Row:
        assert self.row.index is not None
        client = self.clients[number % CLIENTS]
        index = Index(secrets.token_bytes(32), client, self.row.index.summary)
        record = bytes(bytearray(self.row.record))  # memory would keep one for all
        return replace(self.row, key=secrets.token_bytes(32), record=record, index=index)


@asynccontextmanager
async def writing(store: Store) -> AsyncIterator[Write]:
    """What writes many rows to *store* as quickly as its engine takes them."""
    if isinstance(store, PostgresStore):
        yield partial(_copy, store)
    elif isinstance(store, RedisStore):
        async with _without_file(store) as engine:
            yield partial(_fill_redis, store, engine)
    elif isinstance(store, SQLiteStore):
        db = connect(store._path)
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"PRAGMA cache_size = {-SQLITE_CACHE}")
        yield partial(_write_file, db)
        db.close()
    else:
        yield partial(_insert, store)


async def _insert(store: Store, rows: list[Row]) -> None:
    await asyncio.gather(*(store.insert(r.key, r.record, r.index, r.expires_at) for r in rows))


async def _write_file(db: sqlite3.Connection, rows: list[Row]) -> None:
    """One transaction, with the log of changes as it is some minutes later."""

    def write() -> None:
        db.execute("BEGIN IMMEDIATE")
        for r in rows:
            logged = db.execute("INSERT INTO change (key, at) VALUES (?, 0)", (r.key,))
            version = logged.lastrowid
            assert r.index is not None
            names = r.index.subject, r.index.client, r.index.summary
            db.execute(_INSERT, (r.key, version, r.record, r.expires_at, *names))
        db.execute("DELETE FROM change WHERE at = 0")
        db.execute("COMMIT")

    await asyncio.to_thread(write)


async def _copy(store: PostgresStore, rows: list[Row]) -> None:
    async def work(db: Any) -> None:
        drawn = "SELECT nextval('mintage_version') FROM generate_series(1, $1)"
        versions = [version for (version,) in await db.fetch(drawn, len(rows))]
        columns = ("key", "version", "record", "expires_at", "subject", "client", "summary")
        records = [
            (
                r.key,
                version,
                r.record,
                r.expires_at,
                r.index.subject,
                r.index.client,
                r.index.summary,
            )
            for r, version in zip(rows, versions, strict=True)
            if r.index is not None
        ]
        await db.copy_records_to_table("mintage_record", records=records, columns=columns)

    await store._do(work)


@asynccontextmanager
async def _without_file(store: RedisStore) -> AsyncIterator[Redis]:
    """The engine, which keeps no file meanwhile, and has written all of it at the end."""
    options = store._link._client.connection_pool.connection_kwargs
    place = {name: options[name] for name in ("host", "port", "db")}
    async with Redis(**place, socket_timeout=60) as db:
        await db.config_set("appendonly", "no")
        yield db
        await db.config_set("appendonly", "yes")
        while (await db.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110  (Redis tells of no end)
            await asyncio.sleep(0.1)


async def _fill_redis(store: RedisStore, db: Redis, rows: list[Row]) -> None:
    """What the store's own inserts leave behind, some hundred in a script."""
    for begin in range(0, len(rows), PIPED):
        values: list[bytes | int] = [store._prefix]
        for r in rows[begin : begin + PIPED]:
            assert r.index is not None
            values += [
                r.key, secrets.randbits(63), r.record, r.record[:HEAD_BYTES], r.expires_at,
                r.expires_at + SWEEP_MARGIN, r.index.summary, packed(r.index), r.index.subject,
                r.index.client, _member(r.key, r.index),
            ]  # fmt: skip
        await db.execute_command("EVAL", FILL_REDIS, 0, *values)  # type: ignore[no-untyped-call]


# ARGV: the prefix; and of each: key, version, record, head, when it ends, and when it goes,
# summary, names, subject, client, and how all its names are noted.
FILL_REDIS: Final = """
local p = ARGV[1]
for i = 2, #ARGV, 11 do
    local key, v, r, h, e, gone, s, n, subject, client, member = unpack(ARGV, i, i + 10)
    redis.call('HSET', p .. key, 'v', v, 'r', r, 'h', h, 'e', e, 's', s, 'n', n)
    redis.call('EXPIREAT', p .. key, gone)
    redis.call('ZADD', p .. 'all', 0, key)
    redis.call('ZADD', p .. 'subject:' .. subject, 0, key)
    redis.call('ZADD', p .. 'client:' .. client, 0, key)
    redis.call('ZADD', p .. 'ends', e, member)
end
"""


async def work(store: Store) -> dict[str, Call]:
    """What is timed. Nothing is cached, so each call goes to the store."""
    house = House.on(store)
    opened = await house.logged_in()
    waiting = [await house.logged_in() for _ in range(ROUNDS + 1)]
    refreshment = Refreshment(client_id=CLIENT, generation=1, scopes=None, resource=None)

    ended = [await house.logged_in() for _ in range(ROUNDS + 1)]

    async def refresh() -> None:
        await house.vault.rotate(waiting.pop().secret, refreshment)

    async def revoke() -> None:
        await house.vault.revocation.revoke(Handle(ended.pop().secret, 1, "refresh"), CLIENT)

    return {
        "request, cold": lambda: house.vault.live.authenticate(Handle(opened.secret, 1, "access")),
        "refresh": refresh,
        "login": house.logged_in,
        "revocation": revoke,
    }


async def compare(small: Store, large: Store) -> dict[str, tuple[float, float]]:
    """(microseconds in *small*, in *large*) of each kind of work, in turns."""
    sides = await work(small), await work(large)
    figures = {}
    for what in sides[0]:
        samples: tuple[list[float], list[float]] = ([], [])
        for round_ in range(ROUNDS + 1):
            for side, times in zip(sides, samples, strict=True):
                begin = time.perf_counter()
                await side[what]()
                if round_:  # the first one opens connections and reads pages
                    times.append((time.perf_counter() - begin) * 1e6)
        figures[what] = median(samples[0]), median(samples[1])
    return figures


async def grow(
    name: str, small: Store, large: Store, sizes: tuple[int, ...], measure: Size
) -> bool:
    """Print what each size costs. Returns whether it stays flat."""
    stored, has, worst = await Stored.of(large), 0, 0.0
    await (await Stored.of(small)).fill(SIZES[0])
    empty = measure()
    for size in sizes:
        begin = time.perf_counter()
        await stored.fill(size - has)
        took, has = time.perf_counter() - begin, size
        each = (measure() - empty) / size
        for what, (before, after) in (await compare(small, large)).items():
            worst = max(worst, after / before)
            cells = f"{size:,} | {what} | {before:.0f} | {after:.0f} | {after / before:.2f}"
            print(f"| {name} | {cells} |", flush=True)
        print(f"| {name} | {size:,} | bytes of a grant | | {each:,.0f} | |", flush=True)
        print(f"<!-- {name}: filled up to {size:,} in {took:.0f} s -->", flush=True)
    tell(Aim(f"{name}, up to {has:,} grants against {SIZES[0]:,}", worst, MOST, at_most=True))
    return worst <= MOST


@contextmanager
def places(directory: Path) -> Iterator[dict[str, tuple[str, str, Size]]]:
    """Each engine that there is: URL of the small store, URL of the large one, and its size."""
    with engines(directory) as found:
        urls = {}
        for name, (url, server) in found.items():
            other = f"{url.removesuffix('.db')}-small.db"
            if name == "PostgreSQL" and server is not None:
                place = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "mintage"]
                subprocess.run([program("createdb"), *place, "small"], check=True)  # noqa: S603
                other = f"postgresql://mintage@127.0.0.1:{server.port}/small"
            elif name == "Redis":
                other = f"{url.removesuffix('/0')}/1"
            urls[name] = other, url, size_of(url, server)
        yield urls


def resident() -> int:
    """Bytes of memory that this process has."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def run(sizes: tuple[int, ...], only: list[str]) -> bool:
    flat = True
    print("| store | grants | | µs with 1,000 | µs with so many | × |")
    print("|---|---:|---|---:|---:|---:|")
    if not only or "memory" in only:
        flat &= await grow("memory", MemoryStore(), MemoryStore(), sizes, resident)
    with tempfile.TemporaryDirectory() as directory, places(Path(directory)) as urls:
        for name, (small, large, size) in urls.items():
            if only and name not in only:
                continue
            async with AsyncExitStack() as stack:
                few, many = [await open_store(url, clock=time.time) for url in (small, large)]
                stack.push_async_callback(few.close)
                stack.push_async_callback(many.close)
                flat &= await grow(name, few, many, sizes, size)
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="grants in the large store")
    parser.add_argument("stores", nargs="*", help="memory, SQLite, PostgreSQL, Redis; all if none")
    options = parser.parse_args()
    sizes = tuple(size for size in SIZES if size <= options.most)
    flat = asyncio.run(run(sizes, options.stores))
    print(f"\n{ROUNDS} calls of each kind at each size ({machine()})")
    print(f"flat (at most {MOST} times as dear): {'yes' if flat else 'NO'}")


if __name__ == "__main__":
    main()
