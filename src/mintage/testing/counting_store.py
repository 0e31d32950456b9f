"""A store that counts the calls to another one."""

from collections import Counter
from collections.abc import AsyncIterator

from mintage.stores.protocol import Cursor, Index, Page, Row, Status, Store, Versioned


class CountingStore(Store):
    """Passes every call on to a store, and counts it.

    *seen* counts the calls by name, failed ones included. *lengths* has the length of each record
    that was written, in bytes and in order.

    Args:
        store: The store that does the work.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seen: Counter[str] = Counter()
        self.lengths: list[int] = []

    @property
    def writes(self) -> int:
        """How many inserts, replacements and deletions there were."""
        return self.seen["insert"] + self.seen["replace"] + self.seen["delete"]

    def forget(self) -> None:
        """Set all counts to zero."""
        self.seen.clear()
        self.lengths.clear()

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        self.seen["insert"] += 1
        self.lengths.append(len(record))
        await self._store.insert(key, record, index, expires_at)

    async def load(self, key: bytes) -> Versioned | None:
        self.seen["load"] += 1
        return await self._store.load(key)

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        self.seen["replace"] += 1
        self.lengths.append(len(record))
        await self._store.replace(key, old, record, expires_at, index)

    async def delete(self, key: bytes) -> None:
        self.seen["delete"] += 1
        await self._store.delete(key)

    def changes(self) -> AsyncIterator[bytes]:
        return self._store.changes()

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        self.seen["list"] += 1
        return await self._store.list(subject=subject, client=client, after=after, limit=limit)

    async def sweep(self, limit: int = 1000) -> int:
        return await self._store.sweep(limit)

    def rows(self) -> AsyncIterator[Row]:
        return self._store.rows()

    async def status(self) -> Status:
        return await self._store.status()

    async def close(self) -> None:
        await self._store.close()
