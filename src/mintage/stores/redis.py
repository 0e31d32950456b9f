"""Redis or Valkey, for several machines: single, behind Sentinel, or a Cluster.

A record is one hash, and every step on it is one script that touches this one key. So it is atomic,
and works in any slot of a cluster. A write that returned is as durable as the server's setting
(``appendonly``) makes it. With ``?wait_replicas=N`` in the URL it is on N replicas too, and
survives a failover to any of them.

A write may be sent twice if the first answer got lost. The caller draws a version for it, and a
script that finds this version in place has nothing left to do.

Names for lists are sorted sets in other slots. They are written before the record, so a crash in
between leaves a name without a record, which a list skips.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator
from typing import Final, Self

import msgspec

from mintage.concurrency.backoff import pause
from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.protocol import (
    EVERYTHING,
    HEAD_BYTES,
    SWEEP_MARGIN,
    UNLISTED,
    Cursor,
    Index,
    Page,
    Row,
    Status,
    Versioned,
)
from mintage.stores.redis_link import Address, Link
from mintage.stores.redis_names import RedisNames, packed, seconds
from mintage.stores.redis_rights import check_rights
from mintage.stores.redis_scripts import (
    DELETE,
    INSERT,
    NEW,
    REPLACE,
    SAME,
    STALE,
    UNTOUCHED,
    WRITTEN,
)
from mintage.values import Clock

log = logging.getLogger("mintage.store")

# Seconds that an expired record stays in memory. Mintage's clock decides when it expires; the
# server's clock, which removes it, may be ahead of that by so much.
_LINGER: Final = SWEEP_MARGIN
_DEAF_SECONDS: Final = 60.0  # between two tries to subscribe where the ACL forbids it
_SCAN: Final = 500


class RedisStore:
    """Open it with `open`. Its calls are limited in number and time (see `Link`)."""

    def __init__(self, link: Link, clock: Clock, prefix: str = "mintage") -> None:
        self._link = link
        self._clock = clock
        self._prefix = f"{prefix}:1:".encode()
        self._channel = self._prefix + b"changes"
        self._names = RedisNames(link, self._prefix)
        self._deaf = False

    @classmethod
    async def open(cls, url: str, *, clock: Clock = time.time) -> Self:
        """The store at *url*.

        ``redis://host:port/db`` for one server, ``redis+cluster://host:port,host:port`` for a
        cluster, ``redis+sentinel://host:port,host:port/service`` behind Sentinel; ``rediss``
        for TLS. ``?prefix=NAME`` begins the names of all keys and of the channel, so that two
        installations can share a server. Raises `StoreUnavailable`, and `StoreUnusable` for a
        URL or password that is wrong and for a command that the server's ACL forbids. What
        only serves a warning may be forbidden.
        """
        address = Address.parse(url)
        store = cls(Link.to(address), clock, address.prefix)
        try:
            await check_rights(store._link, store._prefix, store._channel)
            await store._warn_if_forgetful()
            await store._warn_if_ahead_of_replicas(address.wait_replicas)
        except StoreError:
            await store.close()
            raise
        return store

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        if index is not None:
            await self._names.add(key, index, expires_at)
        values = (
            self._now(), _version(), record, record[:HEAD_BYTES], expires_at, _LINGER,
            index.summary if index else b"", packed(index) if index else b"",
        )  # fmt: skip
        if not await self._link.run(INSERT, self._prefix + key, *values):
            raise Exists

    async def load(self, key: bytes) -> Versioned | None:
        name = self._prefix + key
        version, record, ends = await self._link.read(name, "HMGET", name, "v", "r", "e")
        if version is None:
            return None
        expires_at, number = seconds(ends), seconds(version)
        if expires_at is None or number is None or record is None:
            log.error("the record %s in Redis is damaged: a field is missing", key.hex()[:16])
            return None
        return Versioned(record, number) if expires_at > self._now() else None

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        if index is None:
            await self._replace(key, old, record, expires_at, None, UNTOUCHED)
        elif index == UNLISTED:
            await self._replace(key, old, record, expires_at, None, NEW)
        # A refresh keeps the names, and then they are not written to their lists again.
        elif not await self._replace(key, old, record, expires_at, index, SAME):
            await self._names.add(key, index, expires_at)
            await self._replace(key, old, record, expires_at, index, NEW)

    async def _replace(
        self, key: bytes, old: Versioned, record: bytes, expires_at: int, index: Index | None,
        names: str,
    ) -> bool:  # fmt: skip
        """Whether it was written; otherwise *names* is not true. Raises `Stale`."""
        values = (
            self._now(), old.version, _version(), record, record[:HEAD_BYTES], expires_at, _LINGER,
            index.summary if index else b"", packed(index) if index else b"",
            names, self._channel, key,
        )  # fmt: skip
        answer, former = await self._link.run(REPLACE, self._prefix + key, *values)
        if answer == STALE:
            raise Stale
        await self._tidy(key, former, keep=index)
        return bool(answer == WRITTEN)

    async def delete(self, key: bytes) -> None:
        names = await self._link.run(DELETE, self._prefix + key, self._channel, key)
        await self._tidy(key, names)

    async def changes(self) -> AsyncIterator[bytes]:
        """Keys as they change; `EVERYTHING` when it listens again after an interruption."""
        failures = 0
        while not self._link.closed.is_set():
            try:
                async with contextlib.aclosing(self._link.feed(self._channel)) as heard:
                    async for key in heard:
                        failures = 0
                        yield EVERYTHING if key is None else key
            except StoreUnusable as error:
                self._say_deaf(error)
                await asyncio.sleep(_DEAF_SECONDS)
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
        return await self._names.page(subject, client, after, limit, self._now())

    async def sweep(self, limit: int = 1000) -> int:
        """Redis removes records itself. This removes their names."""
        return await self._names.sweep(limit, self._now() - SWEEP_MARGIN)

    async def rows(self) -> AsyncIterator[Row]:
        """Needs SCAN, and ZSCAN for records that a Mintage before 1.0 wrote."""
        older: dict[bytes, tuple[bytes, bytes]] | None = None
        async for key in self._link.scan(self._prefix, _SCAN):
            record, ends, summary, names = await self._link.ask("HMGET", key, "r", "e", "s", "n")
            expires_at = seconds(ends)
            if record is None or expires_at is None or expires_at <= self._now():
                continue
            bare = key.removeprefix(self._prefix)
            both = None
            if names is not None:
                both = msgspec.msgpack.decode(names, type=tuple[bytes, bytes])
            elif summary:
                older = await self._names.all() if older is None else older
                both = older.get(bare)
            index = None if both is None else Index(*both, summary)
            yield Row(bare, record, expires_at, index)

    async def status(self) -> Status:
        await self._link.ask("HMGET", self._prefix + b"status", "v")
        try:
            whole, micro = await self._link.ask("TIME")
        except StoreUnusable:
            return Status()
        return Status(int(whole) + int(micro) / 1e6)

    async def close(self) -> None:
        await self._link.close()

    async def _tidy(self, key: bytes, names: bytes, *, keep: Index | None = None) -> None:
        """Remove former names. If it fails, the sweep does it later."""
        try:
            await self._names.remove(key, names, keep=keep)
        except StoreError as error:
            log.warning("the names of an ended grant stay until the sweep: %s", error)

    def _say_deaf(self, error: StoreUnusable) -> None:
        if not self._deaf:
            log.warning(
                "changes by other processes do not arrive (%s): a grant that is ended "
                "there is accepted here until it leaves this process's memory "
                "(grants.cache_seconds)",
                error,
            )
        self._deaf = True

    async def _warn_if_forgetful(self) -> None:
        """Warn once if the server's settings may lose acknowledged writes."""
        try:
            settings = await self._link.ask("CONFIG GET", "appendonly", "maxmemory-policy")
        except StoreUnusable as error:
            log.warning("Redis does not show its settings (%s): check that appendonly is on", error)
            return
        if settings.get("appendonly") != "yes":
            log.warning("Redis has appendonly off: a restart may lose logins; turn it on")
        if settings.get("maxmemory-policy", "noeviction") != "noeviction":
            log.warning("Redis may evict logins when memory is short; use noeviction")

    async def _warn_if_ahead_of_replicas(self, wait_replicas: int) -> None:
        """Warn once if a failover may lose acknowledged writes."""
        try:
            replicas = await self._link.replicas()
        except StoreUnusable as error:
            log.warning("Redis does not show its replicas (%s): see ?wait_replicas=N", error)
            return
        if wait_replicas < replicas:
            log.warning(
                "Redis acknowledges before all its replicas have a write: a failover may lose "
                "the last logins and revocations; put ?wait_replicas=%d on the store's URL",
                replicas,
            )

    def _now(self) -> int:
        return int(self._clock())


def _version() -> int:
    """A number that no other state of any key has or will have (63 random bits)."""
    return secrets.randbits(63)
