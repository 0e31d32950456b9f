"""Records in a dictionary: for tests, and for one process that may lose everything."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mintage.errors import Exists, Stale, StoreUnavailable
from mintage.stores.protocol import (
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
from mintage.values import Clock

_CLOSED: Final = "the store is closed"


@dataclass(slots=True)
class _Row:
    versioned: Versioned
    index: Index | None
    expires_at: int


class MemoryStore:
    """It is atomic, because no method waits, so no other code runs in between."""

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._rows: dict[bytes, _Row] = {}
        self._listed: set[bytes] = set()
        self._of_subject: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._of_client: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._version = 0
        self._is_closed = False
        self._closed = asyncio.Event()

    def __len__(self) -> int:
        """How many records it has, expired ones that were not swept yet included."""
        return len(self._rows)

    def __iter__(self) -> Iterator[bytes]:
        """Its keys, as they are now."""
        return iter(list(self._rows))

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        if self._live(key) is not None:
            raise Exists
        self._remove(key)
        self._rows[key] = row = _Row(self._next(record), None, expires_at)
        self._name(key, row, index)

    async def load(self, key: bytes) -> Versioned | None:
        row = self._live(key)
        return None if row is None else row.versioned

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        row = self._live(key)
        if row is None or row.versioned.version != old.version:
            raise Stale
        row.versioned = self._next(record)
        row.expires_at = expires_at
        if index is not None:
            self._name(key, row, None if index == UNLISTED else index)

    async def delete(self, key: bytes) -> None:
        self._check_open()
        self._remove(key)

    async def changes(self) -> AsyncIterator[bytes]:
        """Never yields: no other process can reach this memory."""
        self._check_open()
        await self._closed.wait()
        for key in self._rows:  # empty by then
            yield key

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        self._check_open()
        now = int(self._clock())
        found = (
            Entry(key, row.index.summary, row.expires_at, row.versioned.record[:HEAD_BYTES])
            for key in sorted(self._named(subject, client))
            if (row := self._rows[key]).index is not None
            and row.expires_at > now
            and subject in (None, row.index.subject)
            and client in (None, row.index.client)
            and (after is None or key > after)
        )
        entries = tuple(islice(found, limit))
        more = next(found, None) is not None
        return Page(entries, Cursor(entries[-1].key) if more else None)

    async def sweep(self, limit: int = 1000) -> int:
        self._check_open()
        due = int(self._clock()) - SWEEP_MARGIN
        gone = [key for key, row in self._rows.items() if row.expires_at <= due][:limit]
        for key in gone:
            self._remove(key)
        return len(gone)

    async def rows(self) -> AsyncIterator[Row]:
        for key in self:
            if (row := self._live(key)) is not None:
                yield Row(key, row.versioned.record, row.expires_at, row.index)

    async def status(self) -> Status:
        self._check_open()
        return Status()

    async def close(self) -> None:
        self._is_closed = True
        self._closed.set()
        for kept in (self._rows, self._listed, self._of_subject, self._of_client):
            kept.clear()

    def _name(self, key: bytes, row: _Row, index: Index | None) -> None:
        """List *row* as *index* says, and no longer as before."""
        known = row.index
        if known and index and (known.subject, known.client) == (index.subject, index.client):
            row.index = index  # as nearly always: only the summary is another
            return
        if known is not None:
            _take_out(self._of_subject, known.subject, key)
            _take_out(self._of_client, known.client, key)
        if index is not None:
            self._of_subject[index.subject].add(key)
            self._of_client[index.client].add(key)
        row.index = index
        (self._listed.discard if index is None else self._listed.add)(key)

    def _remove(self, key: bytes) -> None:
        if (row := self._rows.pop(key, None)) is not None:
            self._name(key, row, None)

    def _named(self, subject: bytes | None, client: bytes | None) -> Iterable[bytes]:
        """The keys that a list has to examine: as few as possible."""
        if subject is not None:
            return self._of_subject.get(subject, ())
        return self._listed if client is None else self._of_client.get(client, ())

    def _live(self, key: bytes) -> _Row | None:
        if self._is_closed:
            raise StoreUnavailable(_CLOSED)
        row = self._rows.get(key)
        return row if row is not None and row.expires_at > self._clock() else None

    def _next(self, record: bytes) -> Versioned:
        self._version += 1
        return Versioned(record, self._version)

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable(_CLOSED)


def _take_out(lists: dict[bytes, set[bytes]], name: bytes, key: bytes) -> None:
    """Take *key* out of the list *name*, which is not kept empty."""
    keys = lists[name]
    keys.discard(key)
    if not keys:
        del lists[name]
