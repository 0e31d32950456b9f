"""How Redis lists records: sorted sets, each with a key of its own in its own slot.

Names are written before their record and removed after it, so a crash in between leaves a name
without a record. A list skips it, and the sweep removes it. For that, one more set has every
record's names, ordered by when to check whether they can be removed.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mintage.stores.protocol import Cursor, Entry, Index, Page
from mintage.stores.redis_link import Link

log = logging.getLogger("mintage.store")

_BATCH: Final = 500  # names looked at in one round trip
_LATER: Final = 86_400  # seconds after which what can't be read is looked at again

_Names = tuple[bytes, bytes]  # subject, client


def packed(index: Index) -> bytes:
    """A record's own list of its names."""
    return msgspec.msgpack.encode((index.subject, index.client))


class RedisNames:
    """*prefix* is that of all keys of this store."""

    def __init__(self, link: Link, prefix: bytes) -> None:
        self._link = link
        self._prefix = prefix
        self._all = prefix + b"all"
        self._ends = prefix + b"ends"

    async def add(self, key: bytes, index: Index, expires_at: int) -> None:
        """List *key* under its names, and note when to check whether they can be removed."""
        sets = self._sets(index.subject, index.client)
        noted = (self._ends, "ZADD", self._ends, expires_at, _member(key, index))
        await self._link.write_all([*((name, "ZADD", name, 0, key) for name in sets), noted])

    async def remove(self, key: bytes, names: bytes, *, keep: Index | None = None) -> None:
        """*key* has lost *names* (as `packed`); it has those of *keep* now."""
        if not names:
            return
        subject, client = msgspec.msgpack.decode(names, type=_Names)
        kept = self._sets(keep.subject, keep.client) if keep else ()
        gone = [name for name in self._sets(subject, client) if name not in kept]
        noted = (self._ends, "ZREM", self._ends, _member(key, Index(subject, client, b"")))
        await self._link.write_all([*((name, "ZREM", name, key) for name in gone), noted])

    async def page(
        self, subject: bytes | None, client: bytes | None, after: Cursor | None, limit: int,
        now: int,
    ) -> Page:  # fmt: skip
        """Entries in the order of their keys. A name whose record is gone is skipped."""
        names = [self._prefix + b"subject:" + subject] if subject is not None else []
        names += [self._prefix + b"client:" + client] if client is not None else []
        first, *others = names or [self._all]
        entries: list[Entry] = []
        start = b"(" + after if after is not None else b"-"
        while True:
            among = (first, start, b"+", "BYLEX", "LIMIT", 0, limit + 1)
            keys = await self._link.ask("ZRANGE", *among)
            for entry in await self._entries(keys, others, now):
                entries.append(entry)
                if len(entries) > limit:
                    return Page(tuple(entries[:limit]), Cursor(entries[limit - 1].key))
            if len(keys) <= limit:
                return Page(tuple(entries), None)
            start = b"(" + keys[-1]

    async def sweep(self, limit: int, due: int) -> int:
        """Remove at most *limit* names of records that expired by *due*. Returns how many."""
        swept = 0
        while swept < limit:
            among = (self._ends, "-inf", due, "BYSCORE", "LIMIT", 0, min(_BATCH, limit - swept))
            members = await self._link.ask("ZRANGE", *among)
            if not members:
                break
            swept += await self._settle(members, due)
        return swept

    async def all(self) -> dict[bytes, _Names]:
        """The names of every record, also of those that an older Mintage wrote without them."""
        found: dict[bytes, _Names] = {}
        cursor = 0
        while True:
            cursor, pairs = await self._link.ask("ZSCAN", self._ends, cursor, "COUNT", _BATCH)
            for member, _ in pairs:
                if (read := _read(member)) is not None:
                    found[read[0]] = read[1:]
            if not int(cursor):
                return found

    async def _settle(self, members: Sequence[bytes], due: int) -> int:
        """Remove each of *members*, or check it later, so that the next batch has others."""
        read = {member: _read(member) for member in members}
        keys = [self._prefix + names[0] for names in read.values() if names]
        answers = await self._link.ask_all(("HMGET", key, "e", "s") for key in keys)
        states = dict(zip(keys, answers, strict=True))
        commands: list[tuple[bytes | str | int, ...]] = []
        swept = 0
        for member, names in read.items():
            if names is None:
                log.error("a member of %s is not Mintage's; it is left alone", self._ends.decode())
                commands.append(("ZADD", self._ends, due + _LATER, member))
                continue
            ends = _ends(states[self._prefix + names[0]], due)
            if ends is None:
                log.error("the record %s in Redis has a damaged expiry", names[0].hex()[:16])
                ends = due + _LATER
            if ends > due:
                commands.append(("ZADD", self._ends, ends, member))
                continue
            key, *both = names
            commands += [("ZREM", name, key) for name in self._sets(*both)]
            commands.append(("ZREM", self._ends, member))
            swept += 1
        await self._link.ask_all(commands)
        return swept

    async def _entries(
        self, keys: Sequence[bytes], others: Sequence[bytes], now: int
    ) -> Iterable[Entry]:
        """The live ones of *keys* that are also under all *others*, in one round trip."""
        found = await self._link.ask_all(
            command
            for key in keys
            for command in (
                ("HMGET", self._prefix + key, "s", "e", "h"),
                *(("ZSCORE", name, key) for name in others),
            )
        )
        entries = []
        for number, key in enumerate(keys):
            (summary, ends, head), *scores = found[number * (1 + len(others)) :][: 1 + len(others)]
            if summary is None or None in scores:
                continue
            expires_at = seconds(ends)
            if expires_at is None:
                log.error("the record %s in Redis says no time that it expires at", key.hex()[:16])
                expires_at = now + 1  # listed, so that it can be ended
            if expires_at > now:
                entries.append(Entry(key, summary, expires_at, head or b""))
        return entries

    def _sets(self, subject: bytes, client: bytes) -> tuple[bytes, bytes, bytes]:
        return self._all, self._prefix + b"subject:" + subject, self._prefix + b"client:" + client


def seconds(field: bytes | None) -> int | None:
    """The time in a field of a record; None if it is damaged."""
    try:
        return None if field is None else int(field)
    except ValueError:
        return None


def _ends(state: Sequence[bytes | None], due: int) -> int | None:
    """When to check a record's names again; *due*: remove them now. None: it is damaged."""
    ends, summary = state
    if ends is None or summary is None:  # it is gone, or it is in no list any more
        return due
    return seconds(ends)


def _member(key: bytes, index: Index) -> bytes:
    return msgspec.msgpack.encode((key, index.subject, index.client))


def _read(member: bytes) -> tuple[bytes, bytes, bytes] | None:
    try:
        return msgspec.msgpack.decode(member, type=tuple[bytes, bytes, bytes])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
