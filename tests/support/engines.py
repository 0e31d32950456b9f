"""Real servers for the stores' tests: one of each kind for a whole test process."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mintage.testing.nanoidp import free_port
from tests.support.servers import Server, postgres_server, program, redis_server, started


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(postgres_server(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Server, request: pytest.FixtureRequest) -> str:
    """A database of its own for each test."""
    name = f"t{abs(hash(request.node.nodeid))}"
    place = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "mintage"]
    subprocess.run([program("createdb"), *place, name], check=True)
    return f"postgresql://mintage@127.0.0.1:{postgres.port}/{name}"


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(redis_server(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def redis_url(redis: Server) -> str:
    """The one server, empty."""
    empty(redis.port)
    return f"redis://127.0.0.1:{redis.port}/0"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three masters: what belongs to different records lies on different servers."""
    base = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        servers = [stack.enter_context(started(cluster_node(base / str(n)))) for n in range(3)]
        nodes = [f"127.0.0.1:{server.port}" for server in servers]
        command = [program("redis-cli"), "--cluster", "create", *nodes, "--cluster-yes"]
        subprocess.run(command, check=True, capture_output=True)
        for server in servers:
            await_agreement(server.port)
        yield servers


def cluster_node(directory: Path, *, durable: bool = False) -> Server:
    """Its bus gets a port of its own: by default it would be 10,000 above, and off the scale."""
    bus = str(free_port())
    options = ("--cluster-enabled", "yes", "--cluster-port", bus)
    return redis_server(directory, *options, durable=durable)


@pytest.fixture
def cluster_url(cluster: list[Server]) -> str:
    for server in cluster:
        empty(server.port)
    return f"redis+cluster://127.0.0.1:{cluster[0].port}"


def await_agreement(port: int) -> None:
    """Until this node, too, calls the cluster whole."""
    command = [program("redis-cli"), "-p", str(port), "cluster", "info"]
    for _ in range(200):
        if b"cluster_state:ok" in subprocess.run(command, check=True, capture_output=True).stdout:
            return
        time.sleep(0.05)
    raise RuntimeError("the cluster does not come together")


def empty(port: int) -> None:
    command = [program("redis-cli"), "-p", str(port), "flushall"]
    subprocess.run(command, check=True, capture_output=True)
