"""Redis servers that stand in for each other: behind Sentinel, and in a Cluster."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mintage.testing.nanoidp import free_port
from tests.faults.fault_rigs import Stand, redis_cli
from tests.support.engines import await_agreement
from tests.support.servers import Server, program, redis_server, started


@dataclass
class Sentinels:
    """*servers*: a master and its replicas. *watchers* decide which of them is the master."""

    servers: list[Server]
    watchers: list[Server]

    def url(self, wait_replicas: int) -> str:
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in self.watchers)
        return f"redis+sentinel://{hosts}/mymaster?wait_replicas={wait_replicas}"

    def stand(self) -> Stand:
        # All replicas, for the failover that is ordered: until the old master hears of it, it
        # goes on, and a replica that follows it still confirms what the new one never gets.
        url = self.url(len(self.servers) - 1)
        faults = {"killed": self.killed, "frozen": self.frozen, "failed over by hand": self.ordered}
        return Stand(url, faults)

    async def killed(self, seconds: float) -> None:
        await self.whole()
        old = await self.master()
        old.kill()
        await self.replaced(old)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(old.start)
        await self.demote(old)

    async def frozen(self, seconds: float) -> None:
        await self.whole()
        old = await self.master()
        old.freeze()
        try:
            await self.replaced(old)
            await asyncio.sleep(seconds)
        finally:
            old.thaw()
        await asyncio.sleep(seconds)  # it takes itself for the master still
        await self.demote(old)

    async def ordered(self, seconds: float) -> None:
        await self.whole()
        old = await self.master()
        async with asyncio.timeout(30):
            while await self.master() is old:
                await self._ask(self.watchers[0], "failover")  # no new one while one is under way
                await asyncio.sleep(0.2)
        await asyncio.sleep(seconds)
        await self.demote(old)

    async def master(self) -> Server:
        said = await self._ask(self.watchers[0], "get-master-addr-by-name")
        return next(server for server in self.servers if str(server.port) == said.split()[1])

    async def replaced(self, old: Server) -> None:
        async with asyncio.timeout(30):
            while await self.master() is old:
                await asyncio.sleep(0.05)

    async def demote(self, old: Server) -> None:
        """What Sentinel does too, after ten seconds."""
        port = str((await self.master()).port)
        await redis_cli(old.port, "replicaof", "127.0.0.1", port)

    async def whole(self) -> None:
        """All sentinels agree, know each other, and see all replicas at their master."""
        async with asyncio.timeout(60):
            while not await self._is_whole():
                await asyncio.sleep(0.1)

    async def _is_whole(self) -> bool:
        master = await self.master()
        said = [await self._ask(watcher, "get-master-addr-by-name") for watcher in self.watchers]
        usable = [await self._ask(watcher, "ckquorum") for watcher in self.watchers]
        link = await redis_cli(master.port, "info", "replication")
        return (
            len(set(said)) == 1
            and all(word.startswith(f"OK {len(self.watchers)} usable") for word in usable)
            and link.count("state=online") == len(self.servers) - 1
        )

    async def _ask(self, watcher: Server, question: str) -> str:
        return await redis_cli(watcher.port, "sentinel", question, "mymaster")


@contextmanager
def sentinels(directory: Path) -> Iterator[Sentinels]:
    """A master with two replicas, and three that watch over them."""
    with ExitStack() as stack:
        at_once = ("--repl-diskless-sync-delay", "0")
        master = stack.enter_context(started(redis_server(directory / "0", *at_once)))
        of_it = ("--replicaof", f"127.0.0.1 {master.port}", *at_once)
        replicas = [
            stack.enter_context(started(redis_server(directory / str(n), *of_it))) for n in (1, 2)
        ]
        watchers = [
            stack.enter_context(started(watcher(directory / f"sentinel-{n}", master.port)))
            for n in range(3)
        ]
        yield Sentinels([master, *replicas], watchers)


def watcher(directory: Path, master: int, *settings: str) -> Server:
    """A sentinel that finds a master dead after half a second; two of them make it so."""
    directory.mkdir(parents=True)
    port = free_port()
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {directory}",
        f"sentinel monitor mymaster 127.0.0.1 {master} 2",
        "sentinel down-after-milliseconds mymaster 500",
        "sentinel failover-timeout mymaster 2000",
        *settings,
    )
    file = directory / "sentinel.conf"
    file.write_text("\n".join(lines) + "\n")
    ready = [program("redis-cli"), "-p", str(port), "ping"]
    return Server([program("redis-server"), str(file), "--sentinel"], ready, port, directory)


@dataclass
class Cluster:
    servers: list[Server]

    def stand(self) -> Stand:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        url = f"redis+cluster://{hosts}?wait_replicas=1"
        return Stand(url, {"killed": self.killed, "frozen": self.frozen})

    async def killed(self, seconds: float) -> None:
        old = await self.a_master()
        old.kill()
        await self.replaced(old)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(old.start)

    async def frozen(self, seconds: float) -> None:
        old = await self.a_master()
        old.freeze()
        try:
            await self.replaced(old)
            await asyncio.sleep(seconds)
        finally:
            old.thaw()

    async def a_master(self) -> Server:
        await self.whole()
        for server in self.servers:
            if "role:master" in await self._role(server):
                return server
        raise AssertionError("no masters")

    async def replaced(self, old: Server) -> None:
        """Until one of the others calls the cluster whole again, without *old*."""
        other = next(server for server in self.servers if server is not old)
        async with asyncio.timeout(30):
            await asyncio.sleep(1)  # it takes the others that long to notice
            while "cluster_state:ok" not in await redis_cli(other.port, "cluster", "info"):
                await asyncio.sleep(0.05)

    async def whole(self) -> None:
        """Every master has its replica at hand."""
        async with asyncio.timeout(60):
            while True:
                roles = [await self._role(server) for server in self.servers]
                if sum(said.count("state=online") for said in roles) == len(self.servers) // 2:
                    return
                await asyncio.sleep(0.1)

    async def _role(self, server: Server) -> str:
        return await redis_cli(server.port, "info", "replication")


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """Three masters, each with a replica."""
    with ExitStack() as stack:
        servers = []
        for n in range(6):
            bus = str(free_port())
            options: tuple[str, ...] = ("--cluster-enabled", "yes", "--cluster-port", bus)
            options += ("--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
            node = redis_server(directory / str(n), *options)
            servers.append(stack.enter_context(started(node)))
        places = [f"127.0.0.1:{server.port}" for server in servers]
        words = ["--cluster", "create", *places, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run([program("redis-cli"), *words], check=True, capture_output=True)
        for server in servers:
            await_agreement(server.port)
        yield Cluster(servers)
