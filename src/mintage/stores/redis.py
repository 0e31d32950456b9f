"""Redis or Valkey, for several machines: single, behind Sentinel, or a Cluster.

A record is one hash, and every step on it is one script that touches this one key: atomic
anywhere, and at home in whatever slot of a cluster the key falls. What a write that returned
survives is what the server's own setting promises: see ``appendonly``.

Names for lists are sorted sets of their own, in other slots; they are written before the
record, so a crash in between leaves a name without a record, which a list passes over.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from typing import Any, Final, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.protocol import EVERYTHING, HEAD_BYTES, Cursor, Entry, Index, Page, Versioned
from mintage.values import Clock

T = TypeVar("T")

log = logging.getLogger("mintage.store")

POOL_SIZE: Final = 32
_SECONDS: Final = 5.0
_PREFIX: Final = b"mintage:1:"
_CHANNEL: Final = b"mintage:1:changes"
_ALL: Final = _PREFIX + b"all"
_ENDS: Final = _PREFIX + b"ends"

# KEYS[1] the record; ARGV: now, version, record, head, expires_at, summary
_INSERT: Final = """
local ends = redis.call('HGET', KEYS[1], 'e')
if ends and tonumber(ends) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3], 'h', ARGV[4], 'e', ARGV[5], 's', ARGV[6])
redis.call('EXPIREAT', KEYS[1], ARGV[5])
return 1
"""
# KEYS[1] the record
# ARGV: now, old version, version, record, head, expires_at, summary, channel, key
_REPLACE: Final = """
local seen = redis.call('HMGET', KEYS[1], 'v', 'e')
if seen[1] ~= ARGV[2] or tonumber(seen[2]) <= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'r', ARGV[4], 'h', ARGV[5], 'e', ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 's', ARGV[7]) end
redis.call('EXPIREAT', KEYS[1], ARGV[6])
redis.call('PUBLISH', ARGV[8], ARGV[9])
return 1
"""
# KEYS[1] the record; ARGV: channel, key
_DELETE: Final = """
if redis.call('DEL', KEYS[1]) == 1 then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1
"""


class RedisStore:
    """Open it with `open`. The pool is bounded, and every call has a time-out."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._closed = asyncio.Event()
        self._insert = client.register_script(_INSERT)
        self._replace = client.register_script(_REPLACE)
        self._delete = client.register_script(_DELETE)

    @classmethod
    async def open(cls, url: str, *, clock: Clock = time.time) -> Self:
        """The store at *url*.

        ``redis://host:port/db`` for one server, ``redis+cluster://host:port`` for a cluster,
        ``redis+sentinel://host:port,host:port/service`` behind Sentinel; ``rediss`` for TLS.
        Raises `StoreUnavailable`. A server that may forget is warned about in the log.
        """
        store = cls(_client(url), clock)
        try:
            await store._warn_if_forgetful()
        except StoreError:
            await store.close()
            raise
        return store

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        if index is not None:
            await self._name(key, index, expires_at)
        summary = index.summary if index else b""
        values = [self._now(), _version(), record, record[:HEAD_BYTES], expires_at, summary]
        if not await self._do(self._insert(keys=[_PREFIX + key], args=values)):
            raise Exists

    async def load(self, key: bytes) -> Versioned | None:
        version, record, ends = await self._do(self._client.hmget(_PREFIX + key, "v", "r", "e"))
        if version is None or int(ends) <= self._now():
            return None
        return Versioned(record, int(version))

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        if index is not None:
            await self._name(key, index, expires_at)
        values = [
            self._now(), old.version, _version(), record, record[:HEAD_BYTES], expires_at,
            index.summary if index else b"", _CHANNEL, key,
        ]  # fmt: skip
        if not await self._do(self._replace(keys=[_PREFIX + key], args=values)):
            raise Stale

    async def delete(self, key: bytes) -> None:
        await self._do(self._delete(keys=[_PREFIX + key], args=[_CHANNEL, key]))

    async def changes(self) -> AsyncIterator[bytes]:
        """Keys as they change; `EVERYTHING` when it begins to listen and when it can't."""
        while not self._closed.is_set():
            try:
                async with contextlib.aclosing(self._listen()) as heard:
                    async for key in heard:
                        yield key
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(0.5)
            yield EVERYTHING

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        """Entries by key. A name whose record is gone is passed over."""
        names = [b"subject:" + subject] if subject is not None else []
        names += [b"client:" + client] if client is not None else []
        first, *others = [_PREFIX + name for name in names] or [_ALL]
        entries: list[Entry] = []
        start = b"(" + after if after is not None else b"-"
        while True:
            keys = await self._do(self._client.zrange(first, start, b"+", bylex=True, offset=0,
                                                      num=limit + 1))  # fmt: skip
            for entry in await self._entries(keys, others):
                entries.append(entry)
                if len(entries) > limit:
                    return Page(tuple(entries[:limit]), Cursor(entries[limit - 1].key))
            if len(keys) <= limit:
                return Page(tuple(entries), None)
            start = b"(" + keys[-1]

    async def sweep(self, limit: int = 1000) -> int:
        """Records leave by themselves here; this takes the names of those that did."""
        now = self._now()
        due = await self._do(
            self._client.zrange(_ENDS, "-inf", now, byscore=True, offset=0, num=limit)
        )
        return sum([await self._forget(member, now) for member in due])

    async def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await asyncio.wait_for(self._client.aclose(), _SECONDS)

    async def _entries(self, keys: Sequence[bytes], others: Sequence[bytes]) -> Sequence[Entry]:
        """The live ones of *keys* that stand under all *others* as well, in one round trip."""
        calls = self._client.pipeline(transaction=False)
        for key in keys:
            calls.hmget(_PREFIX + key, "s", "e", "h")
            for name in others:
                calls.zscore(name, key)
        found = await self._do(calls.execute()) if keys else []
        entries = []
        for number, key in enumerate(keys):
            (summary, ends, head), *scores = found[number * (1 + len(others)) :][: 1 + len(others)]
            if ends is not None and int(ends) > self._now() and None not in scores:
                entries.append(Entry(key, summary, int(ends), head))
        return entries

    async def _name(self, key: bytes, index: Index, expires_at: int) -> None:
        """Put *key* under its names, and note when to look whether they may go."""
        for name in _names(index.subject, index.client):
            await self._do(self._client.zadd(name, {key: 0}))
        member = msgspec.msgpack.encode((key, index.subject, index.client))
        await self._do(self._client.zadd(_ENDS, {member: expires_at}))

    async def _forget(self, member: bytes, now: int) -> bool:
        """Take out the names of an expired record; one that lives on is looked at later."""
        key, subject, client = msgspec.msgpack.decode(member, type=tuple[bytes, bytes, bytes])
        ends = await self._do(self._client.hget(_PREFIX + key, "e"))
        if ends is not None and int(ends) > now:
            await self._do(self._client.zadd(_ENDS, {member: int(ends)}))
            return False
        for name in _names(subject, client):
            await self._do(self._client.zrem(name, key))
        await self._do(self._client.delete(_PREFIX + key))
        await self._do(self._client.zrem(_ENDS, member))
        return True

    async def _listen(self) -> AsyncGenerator[bytes, None]:
        async with self._client.pubsub() as channel:
            await channel.subscribe(_CHANNEL)
            while not self._closed.is_set():
                match await channel.get_message(timeout=1.0):
                    case {"type": "message", "data": key}:
                        yield key
                    case {"type": "subscribe"}:
                        # What changed until now was not heard. The driver connects anew by
                        # itself; then this is the only word of it.
                        yield EVERYTHING
                    case _:
                        pass

    async def _warn_if_forgetful(self) -> None:
        """Say so, once, if the server's settings let acknowledged writes go."""
        try:
            settings = await self._do(self._client.config_get("appendonly", "maxmemory-policy"))
        except StoreUnusable:
            log.warning("Redis does not show its settings: see that appendonly is on")
            return
        if settings.get("appendonly") != "yes":
            log.warning("Redis has appendonly off: a restart may lose logins; turn it on")
        if settings.get("maxmemory-policy", "noeviction") != "noeviction":
            log.warning("Redis may evict logins when memory is short; use noeviction")

    async def _do(self, call: Awaitable[T]) -> T:
        if self._closed.is_set():
            if asyncio.iscoroutine(call):
                call.close()
            raise StoreUnavailable("the store is closed")
        try:
            return await call
        except (RedisError, OSError, TimeoutError) as error:
            raise _translated(error) from None

    def _now(self) -> int:
        return int(self._clock())


def _names(subject: bytes, client: bytes) -> tuple[bytes, bytes, bytes]:
    return _ALL, _PREFIX + b"subject:" + subject, _PREFIX + b"client:" + client


def _client(url: str) -> Any:
    scheme = urlsplit(url).scheme
    if "cluster" in scheme:
        plain = url.replace("+cluster", "", 1)
        return redis.RedisCluster.from_url(plain, **_options())
    if "sentinel" in scheme:
        return _behind_sentinel(url)
    # Whoever finds the pool empty waits for a connection instead of being turned away.
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=POOL_SIZE, timeout=_SECONDS, **_options()
    )
    return redis.Redis.from_pool(pool)


def _behind_sentinel(url: str) -> Any:
    parts = urlsplit(url)
    hosts = [
        (host, int(port or 26379))
        for host, _, port in (
            place.partition(":") for place in parts.netloc.rpartition("@")[2].split(",")
        )
    ]
    service = parts.path.strip("/") or "mymaster"
    database = int(parse_qs(parts.query).get("db", ["0"])[0])
    sentinel = redis.Sentinel(hosts, sentinel_kwargs=_options())  # type: ignore[no-untyped-call]
    return sentinel.master_for(
        service, password=parts.password, username=parts.username, db=database, **_options()
    )


def _options() -> dict[str, Any]:
    return {
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "retry": Retry(NoBackoff(), 1),
    }


def _version() -> int:
    """A number that no other state of any key has had, and none will (63 random bits)."""
    return secrets.randbits(63)


def _translated(error: BaseException) -> StoreError:
    name = type(error).__name__
    text = str(error)
    if "NOAUTH" in text or "WRONGPASS" in text or "NOPERM" in text:
        return StoreUnusable(f"Redis refuses the user or password ({name})")
    if "OOM" in text:
        return StoreUnavailable("Redis is out of memory")
    return StoreUnavailable(f"Redis does not answer ({name})")
