"""Private servers, on loopback and free ports, for as long as a stress test runs."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.support.engines import await_agreement, cluster_node
from tests.support.servers import postgres_server, program, redis_server, started


@contextmanager
def engine(name: str) -> Iterator[str]:
    """The URL of a fresh, empty store of that kind."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mintage-")))
        yield ENGINES[name](directory, stack)


def _sqlite(directory: Path, _: ExitStack) -> str:
    return f"sqlite://{directory}/store.db"


def _postgres(directory: Path, stack: ExitStack) -> str:
    server = stack.enter_context(started(postgres_server(directory)))
    return f"postgresql://mintage@127.0.0.1:{server.port}/postgres"


def _redis(directory: Path, stack: ExitStack) -> str:
    server = stack.enter_context(started(redis_server(directory)))
    return f"redis://127.0.0.1:{server.port}/0"


def _cluster(directory: Path, stack: ExitStack) -> str:
    nodes = [stack.enter_context(started(cluster_node(directory / str(n)))) for n in range(3)]
    places = [f"127.0.0.1:{node.port}" for node in nodes]
    subprocess.run(  # noqa: S603
        [program("redis-cli"), "--cluster", "create", *places, "--cluster-yes"],
        check=True, capture_output=True,
    )  # fmt: skip
    for node in nodes:
        await_agreement(node.port)
    return f"redis+cluster://{places[0]}"


ENGINES: Final[dict[str, Callable[[Path, ExitStack], str]]] = {
    "sqlite": _sqlite,
    "postgres": _postgres,
    "redis": _redis,
    "cluster": _cluster,
}
NAMES: Final = {
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
    "redis": "Redis",
    "cluster": "Redis Cluster, 3 nodes",
}
