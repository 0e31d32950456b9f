"""One set of servers of each kind for all tests of a process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults import failover, fault_rigs
from tests.faults.failover import Cluster, Sentinels
from tests.faults.fault_rigs import Stand
from tests.support.servers import Server, pgbouncer, postgres_server, redis_server, started


@pytest.fixture(scope="session")
def postgres_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(postgres_server(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(redis_server(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="session")
def pooler_process(
    tmp_path_factory: pytest.TempPathFactory, postgres_process: Server
) -> Iterator[Server]:
    with started(pgbouncer(tmp_path_factory.mktemp("pgbouncer"), postgres_process)) as server:
        yield server


@pytest.fixture(scope="session")
def restricted_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("restricted")
    gone = [word for name in ("CONFIG", "INFO") for word in ("--rename-command", name, "")]
    with started(redis_server(directory, *gone)) as server:
        yield server


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with failover.sentinels(tmp_path_factory.mktemp("sentinel")) as servers:
        yield servers


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with failover.cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
async def postgres(postgres_process: Server) -> AsyncIterator[Stand]:
    async with fault_rigs.postgres(postgres_process) as stand:
        yield stand


@pytest.fixture
async def redis(redis_process: Server) -> AsyncIterator[Stand]:
    async with fault_rigs.redis(redis_process) as stand:
        yield stand


@pytest.fixture
async def pooler(pooler_process: Server, postgres_process: Server) -> AsyncIterator[Stand]:
    async with fault_rigs.pooler(pooler_process, postgres_process) as stand:
        yield stand


@pytest.fixture
async def restricted(restricted_process: Server) -> AsyncIterator[Stand]:
    async with fault_rigs.restricted(restricted_process) as stand:
        yield stand


@pytest.fixture
async def sentinel(sentinels: Sentinels) -> Stand:
    await sentinels.whole()
    return sentinels.stand()


@pytest.fixture
async def cluster(redis_cluster: Cluster) -> Stand:
    await redis_cluster.whole()
    return redis_cluster.stand()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Stand]:
    fault_rigs.check_immutable(tmp_path)
    async with fault_rigs.sqlite(tmp_path, None) as stand:
        yield stand


@pytest.fixture
async def sqlite_on_a_small_disk(tmp_path: Path) -> AsyncIterator[Stand]:
    with fault_rigs.small_disk(tmp_path / "disk") as disk:
        async with fault_rigs.sqlite(tmp_path, disk) as stand:
            yield stand
