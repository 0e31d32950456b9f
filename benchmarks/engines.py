"""Private store servers for the benchmarks: those of the tests, where they are installed."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.engines import await_agreement, cluster_node
from tests.support.servers import Server, postgres_server, program, redis_server, started


@contextmanager
def engines(directory: Path) -> Iterator[dict[str, tuple[str, Server | None]]]:
    """(URL, server) of each store that there is, by its name; SQLite needs no server."""
    found: dict[str, tuple[str, Server | None]] = {
        "SQLite": (f"sqlite://{directory}/store.db", None)
    }
    with ExitStack() as stack:
        if shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
            postgres = stack.enter_context(
                started(postgres_server(directory / "postgres", durable=True))
            )
            place = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "mintage"]
            subprocess.run([program("createdb"), *place, "mintage"], check=True)  # noqa: S603
            url = f"postgresql://mintage@127.0.0.1:{postgres.port}/mintage"
            found["PostgreSQL"] = url, postgres
        if shutil.which("redis-server"):
            redis = stack.enter_context(started(redis_server(directory / "redis", durable=True)))
            found["Redis"] = f"redis://127.0.0.1:{redis.port}/0", redis
        yield found


@contextmanager
def redis_cluster(directory: Path, *, nodes: int = 3) -> Iterator[tuple[str, list[Server]]]:
    """(URL, servers) of a Redis Cluster of so many masters, each with an fsync at every write."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(started(cluster_node(directory / f"redis-{number}", durable=True)))
            for number in range(nodes)
        ]
        places = [f"127.0.0.1:{server.port}" for server in servers]
        command = [program("redis-cli"), "--cluster", "create", *places, "--cluster-yes"]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        for server in servers:
            await_agreement(server.port)
        yield f"redis+cluster://{places[0]}", servers
