"""Every store keeps every promise."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import Store
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.testing.store_suite import OpenStore, SharedStoreSuite, StoreSuite


class TestMemory(StoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock) -> OpenStore:
        async def open_store() -> Store:
            return MemoryStore(clock=clock)

        return open_store


class TestSQLite(SharedStoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[OpenStore]:
        stores: list[Store] = []

        async def open_store() -> Store:
            stores.append(await SQLiteStore.open(tmp_path / "store.db", clock=clock, poll=0.01))
            return stores[-1]

        yield open_store
        for store in stores:
            await store.close()
