"""A store whose operations are measured."""

from collections.abc import AsyncIterator
from typing import Final

from mintage.errors import Exists, Stale, StoreUnavailable
from mintage.stores.protocol import Cursor, Index, Page, Row, Status, Store, Versioned
from mintage.telemetry.metrics import STORE_SECONDS
from mintage.telemetry.steps import Kind, Probe, Step


def _outcome(error: BaseException | None) -> str:
    match error:
        case None:
            return "ok"
        case Exists() | Stale():
            return "conflict"
        case StoreUnavailable():
            return "unavailable"
        case _:
            return "error"


STORE: Final = Kind("store", STORE_SECONDS, _outcome)


class MeasuredStore(Store):
    """Passes each call on to *store*, and measures it."""

    def __init__(self, store: Store, probe: Probe) -> None:
        self._store = store
        self._probe = probe

    def _measured(self, operation: str) -> Step:
        return self._probe.step(STORE, operation)

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        with self._measured("insert"):
            await self._store.insert(key, record, index, expires_at)

    async def load(self, key: bytes) -> Versioned | None:
        with self._measured("load"):
            return await self._store.load(key)

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        with self._measured("replace"):
            await self._store.replace(key, old, record, expires_at, index)

    async def delete(self, key: bytes) -> None:
        with self._measured("delete"):
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
        with self._measured("list"):
            return await self._store.list(subject=subject, client=client, after=after, limit=limit)

    async def sweep(self, limit: int = 1000) -> int:
        with self._measured("sweep"):
            return await self._store.sweep(limit)

    def rows(self) -> AsyncIterator[Row]:
        return self._store.rows()

    async def status(self) -> Status:
        with self._measured("status"):
            return await self._store.status()

    async def close(self) -> None:
        await self._store.close()
