"""Redis or Valkey, for several machines: single, behind Sentinel, or a Cluster.

A record is one hash, and every step on it is one script that touches this one key: atomic
anywhere, and at home in whatever slot of a cluster the key falls. What a write that returned
survives is what the server's own setting promises (``appendonly``), and with
``?wait_replicas=N`` in the URL, of N replicas, also a failover to any of them.

A write may be sent twice, when the first answer got lost. The version that the caller drew
for it tells: a script that finds it in place has nothing left to do.

Names for lists are sorted sets of their own, in other slots; they are written before the
record, so a crash in between leaves a name without a record, which a list passes over.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Self

import msgspec

from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.backoff import pause
from mintage.stores.protocol import EVERYTHING, HEAD_BYTES, Cursor, Entry, Index, Page, Versioned
from mintage.stores.redis_link import Address, Link
from mintage.values import Clock

log = logging.getLogger("mintage.store")

_PREFIX: Final = b"mintage:1:"
_CHANNEL: Final = b"mintage:1:changes"
_ALL: Final = _PREFIX + b"all"
_ENDS: Final = _PREFIX + b"ends"
# Seconds that an expired record stays in memory. When it expires is decided by our clock; the
# server's, which takes it away then, may go ahead of ours by that much.
_LINGER: Final = 300

# KEYS[1] the record; ARGV: now, version, record, head, expires_at, summary, linger
_INSERT: Final = """
local seen = redis.call('HMGET', KEYS[1], 'v', 'e')
if seen[1] == ARGV[2] then return 1 end
if seen[2] and tonumber(seen[2]) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3], 'h', ARGV[4], 'e', ARGV[5], 's', ARGV[6])
redis.call('EXPIREAT', KEYS[1], ARGV[5] + ARGV[7])
return 1
"""
# KEYS[1] the record
# ARGV: now, old version, version, record, head, expires_at, summary, linger, channel, key
_REPLACE: Final = """
local seen = redis.call('HMGET', KEYS[1], 'v', 'e')
if seen[1] == ARGV[3] then return 1 end
if seen[1] ~= ARGV[2] or tonumber(seen[2]) <= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'r', ARGV[4], 'h', ARGV[5], 'e', ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 's', ARGV[7]) end
redis.call('EXPIREAT', KEYS[1], ARGV[6] + ARGV[8])
redis.call('PUBLISH', ARGV[9], ARGV[10])
return 1
"""
# KEYS[1] the record; ARGV: channel, key
_DELETE: Final = """
if redis.call('DEL', KEYS[1]) == 1 then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1
"""


class RedisStore:
    """Open it with `open`. Its calls are bounded in number and in time (see `Link`)."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock

    @classmethod
    async def open(cls, url: str, *, clock: Clock = time.time) -> Self:
        """The store at *url*.

        ``redis://host:port/db`` for one server, ``redis+cluster://host:port,host:port`` for a
        cluster, ``redis+sentinel://host:port,host:port/service`` behind Sentinel; ``rediss``
        for TLS. Raises `StoreUnavailable`, and `StoreUnusable` for a URL or password that is
        wrong. A server that may forget is warned about in the log.
        """
        address = Address.parse(url)
        store = cls(Link.to(address), clock)
        try:
            await store._warn_if_forgetful()
            await store._warn_if_ahead_of_replicas(address.wait_replicas)
        except StoreError:
            await store.close()
            raise
        return store

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        if index is not None:
            await self._name(key, index, expires_at)
        summary = index.summary if index else b""
        head = record[:HEAD_BYTES]
        values = (self._now(), _version(), record, head, expires_at, summary, _LINGER)
        if not await self._link.run(_INSERT, _PREFIX + key, *values):
            raise Exists

    async def load(self, key: bytes) -> Versioned | None:
        name = _PREFIX + key
        version, record, ends = await self._link.read(name, "HMGET", name, "v", "r", "e")
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
        values = (
            self._now(), old.version, _version(), record, record[:HEAD_BYTES], expires_at,
            index.summary if index else b"", _LINGER, _CHANNEL, key,
        )  # fmt: skip
        if not await self._link.run(_REPLACE, _PREFIX + key, *values):
            raise Stale

    async def delete(self, key: bytes) -> None:
        await self._link.run(_DELETE, _PREFIX + key, _CHANNEL, key)

    async def changes(self) -> AsyncIterator[bytes]:
        """Keys as they change; `EVERYTHING` as soon as it listens again after a break."""
        failures = 0
        while not self._link.closed.is_set():
            try:
                async with contextlib.aclosing(self._link.feed(_CHANNEL)) as heard:
                    async for key in heard:
                        failures = 0
                        yield EVERYTHING if key is None else key
            except StoreUnavailable:
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
        """Entries by key. A name whose record is gone is passed over."""
        names = [b"subject:" + subject] if subject is not None else []
        names += [b"client:" + client] if client is not None else []
        first, *others = [_PREFIX + name for name in names] or [_ALL]
        entries: list[Entry] = []
        start = b"(" + after if after is not None else b"-"
        while True:
            among = (first, start, b"+", "BYLEX", "LIMIT", 0, limit + 1)
            keys = await self._link.ask("ZRANGE", *among)
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
        due = await self._link.ask("ZRANGE", _ENDS, "-inf", now, "BYSCORE", "LIMIT", 0, limit)
        return sum([await self._forget(member, now) for member in due])

    async def close(self) -> None:
        await self._link.close()

    async def _entries(self, keys: Sequence[bytes], others: Sequence[bytes]) -> Sequence[Entry]:
        """The live ones of *keys* that stand under all *others* as well, in one round trip."""
        found = await self._link.ask_all(
            command
            for key in keys
            for command in (
                ("HMGET", _PREFIX + key, "s", "e", "h"),
                *(("ZSCORE", name, key) for name in others),
            )
        )
        entries = []
        for number, key in enumerate(keys):
            (summary, ends, head), *scores = found[number * (1 + len(others)) :][: 1 + len(others)]
            if ends is not None and int(ends) > self._now() and None not in scores:
                entries.append(Entry(key, summary, int(ends), head))
        return entries

    async def _name(self, key: bytes, index: Index, expires_at: int) -> None:
        """Put *key* under its names, and note when to look whether they may go."""
        for name in _names(index.subject, index.client):
            await self._link.write(name, "ZADD", name, 0, key)
        member = msgspec.msgpack.encode((key, index.subject, index.client))
        await self._link.write(_ENDS, "ZADD", _ENDS, expires_at, member)

    async def _forget(self, member: bytes, now: int) -> bool:
        """Take out the names of an expired record; one that lives on is looked at later."""
        key, subject, client = msgspec.msgpack.decode(member, type=tuple[bytes, bytes, bytes])
        ends = await self._link.ask("HGET", _PREFIX + key, "e")
        if ends is not None and int(ends) > now:
            await self._link.write(_ENDS, "ZADD", _ENDS, int(ends), member)
            return False
        for name in _names(subject, client):
            await self._link.write(name, "ZREM", name, key)
        await self._link.write(_PREFIX + key, "DEL", _PREFIX + key)
        await self._link.write(_ENDS, "ZREM", _ENDS, member)
        return True

    async def _warn_if_forgetful(self) -> None:
        """Say so, once, if the server's settings let acknowledged writes go."""
        try:
            settings = await self._link.ask("CONFIG GET", "appendonly", "maxmemory-policy")
        except StoreUnusable:
            log.warning("Redis does not show its settings: see that appendonly is on")
            return
        if settings.get("appendonly") != "yes":
            log.warning("Redis has appendonly off: a restart may lose logins; turn it on")
        if settings.get("maxmemory-policy", "noeviction") != "noeviction":
            log.warning("Redis may evict logins when memory is short; use noeviction")

    async def _warn_if_ahead_of_replicas(self, wait_replicas: int) -> None:
        """Say so, once, if a failover may lose acknowledged writes."""
        replicas = await self._link.replicas()
        if wait_replicas < replicas:
            log.warning(
                "Redis acknowledges before all its replicas have a write: a failover may lose "
                "the last logins and revocations; put ?wait_replicas=%d on the store's URL",
                replicas,
            )

    def _now(self) -> int:
        return int(self._clock())


def _names(subject: bytes, client: bytes) -> tuple[bytes, bytes, bytes]:
    return _ALL, _PREFIX + b"subject:" + subject, _PREFIX + b"client:" + client


def _version() -> int:
    """A number that no other state of any key has had, and none will (63 random bits)."""
    return secrets.randbits(63)
