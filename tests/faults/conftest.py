"""One set of servers of each kind for all batteries of a test process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults import stands
from tests.faults.stands import Stand
from tests.stores.servers import Server, postgres_server, redis_server, started


@pytest.fixture(scope="session")
def postgres_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(postgres_server(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(redis_server(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="session")
def sentinel_processes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[list[Server], list[Server]]]:
    with stands.sentinel_servers(tmp_path_factory.mktemp("sentinel")) as servers:
        yield servers


@pytest.fixture(scope="session")
def cluster_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with stands.cluster_servers(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
async def postgres(postgres_process: Server) -> AsyncIterator[Stand]:
    async with stands.postgres(postgres_process) as stand:
        yield stand


@pytest.fixture
async def redis(redis_process: Server) -> AsyncIterator[Stand]:
    async with stands.redis(redis_process) as stand:
        yield stand


@pytest.fixture
async def sentinel(
    sentinel_processes: tuple[list[Server], list[Server]],
) -> AsyncIterator[Stand]:
    async with stands.behind_sentinel(*sentinel_processes) as stand:
        yield stand


@pytest.fixture
async def cluster(cluster_processes: list[Server]) -> AsyncIterator[Stand]:
    async with stands.cluster(cluster_processes) as stand:
        yield stand


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Stand]:
    async with stands.sqlite(tmp_path, None) as stand:
        yield stand


@pytest.fixture
async def sqlite_on_a_small_disk(tmp_path: Path) -> AsyncIterator[Stand]:
    with stands.small_disk(tmp_path / "disk") as disk:
        async with stands.sqlite(tmp_path, disk) as stand:
            yield stand
