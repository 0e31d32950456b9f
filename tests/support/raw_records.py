"""All that somebody sees who steals a store: every value, as the engine keeps it."""

import contextlib
import sqlite3
from typing import Any

from mintage.stores.memory import MemoryStore
from mintage.stores.postgres import PostgresStore
from mintage.stores.protocol import Store
from mintage.stores.redis import RedisStore
from mintage.stores.sqlite import SQLiteStore


async def stolen(store: Store) -> bytes:
    """Everything in one heap."""
    match store:
        case MemoryStore():
            return repr(store._rows).encode() + b"".join(
                row.versioned.record for row in store._rows.values()
            )
        case SQLiteStore():
            with contextlib.closing(sqlite3.connect(store._path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return store._path.read_bytes()
        case PostgresStore():
            rows = await store._pool.fetch("SELECT * FROM mintage_record")
            return b"".join(value for row in rows for value in row if isinstance(value, bytes))
        case RedisStore():
            return await _dumped(store._link._client)
        case _:
            raise AssertionError("an engine that nobody steals from yet")


async def _dumped(client: Any) -> bytes:
    heap = b""
    async for key in client.scan_iter():
        kind = await client.type(key)
        if kind == b"hash":
            heap += key + b"".join(b"".join(pair) for pair in (await client.hgetall(key)).items())
        else:
            heap += key + b"".join(await client.zrange(key, 0, -1))
    return heap
