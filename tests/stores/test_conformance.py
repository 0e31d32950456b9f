"""Every store keeps every promise."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store as open_url
from mintage.stores.protocol import Store
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.testing.store_suite import OpenStore, SharedStoreSuite, StoreSuite


async def openings(open_one: Callable[[], Awaitable[Store]]) -> AsyncIterator[OpenStore]:
    """Opens as many as are asked for, and closes them all in the end."""
    stores: list[Store] = []

    async def open_store() -> Store:
        stores.append(await open_one())
        return stores[-1]

    yield open_store
    for store in stores:
        await store.close()


class TestMemory(StoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock) -> OpenStore:
        async def open_store() -> Store:
            return MemoryStore(clock=clock)

        return open_store


class TestSQLite(SharedStoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[OpenStore]:
        path = tmp_path / "store.db"
        async for opening in openings(lambda: SQLiteStore.open(path, clock=clock, poll=0.01)):
            yield opening


@pytest.mark.xdist_group("postgres")
class TestPostgres(SharedStoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock, postgres_url: str) -> AsyncIterator[OpenStore]:
        async for opening in openings(lambda: open_url(postgres_url, clock=clock)):
            yield opening


@pytest.mark.xdist_group("redis")
class TestRedis(SharedStoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock, redis_url: str) -> AsyncIterator[OpenStore]:
        async for opening in openings(lambda: open_url(redis_url, clock=clock)):
            yield opening


@pytest.mark.xdist_group("redis")
class TestRedisCluster(SharedStoreSuite):
    @pytest.fixture
    async def open_store(self, clock: ManualClock, cluster_url: str) -> AsyncIterator[OpenStore]:
        async for opening in openings(lambda: open_url(cluster_url, clock=clock)):
            yield opening
