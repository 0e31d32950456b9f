"""Stores that break as they are told: servers of our own, and the ways in which each fails."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mintage.testing.nanoidp import free_port
from tests.stores.conftest import await_agreement
from tests.stores.servers import Server, Wire, program, redis_server, started

Fault = Callable[[float], Awaitable[None]]
"""Goes on for so many seconds, and is mended then."""


@dataclass
class Stand:
    """A store at *url*, and what can be done to it."""

    url: str
    faults: dict[str, Fault] = field(default_factory=dict)


async def command(*words: str | Path, **environ: str) -> str:
    """What a program prints; it must succeed."""
    child = await asyncio.create_subprocess_exec(
        *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environ
    )
    out, err = await child.communicate()
    assert child.returncode == 0, (words, out, err)
    return out.decode()


async def redis_cli(port: int, *words: str) -> str:
    return await command(program("redis-cli"), "-p", str(port), *words)


def of_a_server(server: Server) -> dict[str, Fault]:
    """What happens to any server process."""

    async def killed(seconds: float) -> None:
        server.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)

    async def frozen(seconds: float) -> None:
        server.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            server.thaw()

    return {"killed": killed, "frozen": frozen}


def of_a_wire(wire: Wire) -> dict[str, Fault]:
    """What happens to any network."""

    async def cut(seconds: float) -> None:
        wire.cut = True
        wire.break_off()
        await asyncio.sleep(seconds)
        wire.mend()

    async def silent(seconds: float) -> None:
        wire.swallow()
        await asyncio.sleep(seconds)
        wire.mend()

    async def slow(seconds: float) -> None:
        wire.delay = 0.1
        await asyncio.sleep(seconds)
        wire.mend()

    return {"cut": cut, "silent": silent, "slow": slow}


@asynccontextmanager
async def postgres(server: Server) -> AsyncIterator[Stand]:
    async def sql(statement: str) -> None:
        await command(
            program("psql"), "-qXh", "127.0.0.1", "-p", str(server.port), "-U", "mintage",
            "-c", statement, "postgres", PGOPTIONS="-c default_transaction_read_only=off",
        )  # fmt: skip

    async def read_only(seconds: float) -> None:
        for setting in ("on", "off"):
            await sql(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
            await sql("SELECT pg_reload_conf()")
            await asyncio.sleep(seconds if setting == "on" else 0)

    async def terminated(seconds: float) -> None:
        """An administrator ends every session, again and again."""
        for _ in range(max(1, int(seconds * 5))):
            await sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            await asyncio.sleep(0.2)

    async with Wire(server.port).running() as wire:
        url = f"postgresql://mintage@127.0.0.1:{wire.port}/postgres"
        own = {"read-only": read_only, "terminated": terminated}
        yield Stand(url, of_a_server(server) | of_a_wire(wire) | own)


@asynccontextmanager
async def redis(server: Server) -> AsyncIterator[Stand]:
    async def read_only(seconds: float) -> None:
        """It was told to take no write that no replica gets, and has no replica."""
        await redis_cli(server.port, "config", "set", "min-replicas-to-write", "1")
        await asyncio.sleep(seconds)
        await redis_cli(server.port, "config", "set", "min-replicas-to-write", "0")

    async def demoted(seconds: float) -> None:
        """Somebody made it the replica of a server that is not there."""
        await redis_cli(server.port, "replicaof", "127.0.0.1", str(free_port()))
        await asyncio.sleep(seconds)
        await redis_cli(server.port, "replicaof", "no", "one")

    async with Wire(server.port).running() as wire:
        own = {"read-only": read_only, "demoted": demoted}
        yield Stand(f"redis://127.0.0.1:{wire.port}/0", of_a_server(server) | of_a_wire(wire) | own)


@contextmanager
def sentinel_servers(directory: Path) -> Iterator[tuple[list[Server], list[Server]]]:
    """A master with two replicas, and three sentinels that watch over them."""
    with ExitStack() as stack:
        master = stack.enter_context(started(redis_server(directory / "0")))
        of_it = ("--replicaof", f"127.0.0.1 {master.port}")
        replicas = [
            stack.enter_context(started(redis_server(directory / str(n), *of_it))) for n in (1, 2)
        ]
        watchers = [
            stack.enter_context(started(sentinel(directory / f"sentinel-{n}", master.port)))
            for n in range(3)
        ]
        yield [master, *replicas], watchers


def sentinel(directory: Path, master: int) -> Server:
    directory.mkdir(parents=True)
    port = free_port()
    file = directory / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor mymaster 127.0.0.1 {master} 2\n"
        "sentinel down-after-milliseconds mymaster 500\n"
        "sentinel failover-timeout mymaster 4000\n"
    )
    ready = [program("redis-cli"), "-p", str(port), "ping"]
    return Server([program("redis-server"), str(file), "--sentinel"], ready, port, directory)


@asynccontextmanager
async def behind_sentinel(servers: list[Server], watchers: list[Server]) -> AsyncIterator[Stand]:
    by_port = {server.port: server for server in servers}

    async def master(watcher: Server = watchers[0]) -> Server:
        said = await redis_cli(watcher.port, "sentinel", "get-master-addr-by-name", "mymaster")
        return by_port[int(said.split()[1])]

    async def whole() -> None:
        """All sentinels agree, know each other, and see both replicas at their master."""
        async with asyncio.timeout(60):
            while True:
                port = (await master()).port
                link = await redis_cli(port, "info", "replication")
                agreed = {(await master(watcher)).port for watcher in watchers} == {port}
                states = [
                    await redis_cli(watcher.port, "sentinel", "ckquorum", "mymaster")
                    for watcher in watchers
                ]
                usable = all(state.startswith("OK 3 usable") for state in states)
                if agreed and usable and link.count("state=online") == len(servers) - 1:
                    return
                await asyncio.sleep(0.1)

    async def replaced(old: Server) -> None:
        async with asyncio.timeout(30):
            while await master() is old:
                await asyncio.sleep(0.05)

    async def killed(seconds: float) -> None:
        await whole()
        old = await master()
        old.kill()
        await replaced(old)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(old.start)
        await demoted(old)

    async def frozen(seconds: float) -> None:
        await whole()
        old = await master()
        old.freeze()
        try:
            await replaced(old)
            await asyncio.sleep(seconds)
        finally:
            old.thaw()
        await asyncio.sleep(seconds)  # it takes itself for the master still
        await demoted(old)

    async def demoted(old: Server) -> None:
        """What Sentinel does too, after ten seconds."""
        port = str((await master()).port)
        await redis_cli(old.port, "replicaof", "127.0.0.1", port)

    async def ordered(seconds: float) -> None:
        await whole()
        old = await master()
        await redis_cli(watchers[0].port, "sentinel", "failover", "mymaster")
        await replaced(old)
        await asyncio.sleep(seconds)

    await whole()
    hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
    # All replicas, for the failover that is ordered: until the old master hears of it, it goes
    # on, and a replica that still follows it confirms what the new master never gets.
    url = f"redis+sentinel://{hosts}/mymaster?wait_replicas={len(servers) - 1}"
    yield Stand(url, {"killed": killed, "frozen": frozen, "failed over by hand": ordered})


@contextmanager
def cluster_servers(directory: Path) -> Iterator[list[Server]]:
    """Three masters, each with a replica."""
    with ExitStack() as stack:
        servers = []
        for n in range(6):
            bus = str(free_port())
            options = ("--cluster-enabled", "yes", "--cluster-port", bus)
            node = redis_server(directory / str(n), *options, "--cluster-node-timeout", "1000")
            servers.append(stack.enter_context(started(node)))
        places = [f"127.0.0.1:{server.port}" for server in servers]
        words = ["--cluster", "create", *places, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run([program("redis-cli"), *words], check=True, capture_output=True)
        for server in servers:
            await_agreement(server.port)
        yield servers


@asynccontextmanager
async def cluster(servers: list[Server]) -> AsyncIterator[Stand]:
    async def role(server: Server) -> str:
        return await redis_cli(server.port, "info", "replication")

    async def whole() -> None:
        """Every master has its replica at hand."""
        async with asyncio.timeout(60):
            while True:
                roles = [await role(server) for server in servers]
                if sum(said.count("state=online") for said in roles) == len(servers) // 2:
                    return
                await asyncio.sleep(0.1)

    async def first_master() -> Server:
        for server in servers:
            if "role:master" in await role(server):
                return server
        raise AssertionError("no masters")

    async def replaced(old: Server) -> None:
        """Until one of the others calls the cluster whole again, without *old*."""
        other = next(server for server in servers if server is not old)
        async with asyncio.timeout(30):
            await asyncio.sleep(1)  # it takes the others that long to notice
            while "cluster_state:ok" not in await redis_cli(other.port, "cluster", "info"):
                await asyncio.sleep(0.05)

    async def killed(seconds: float) -> None:
        await whole()
        old = await first_master()
        old.kill()
        await replaced(old)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(old.start)

    async def frozen(seconds: float) -> None:
        await whole()
        old = await first_master()
        old.freeze()
        try:
            await replaced(old)
            await asyncio.sleep(seconds)
        finally:
            old.thaw()

    await whole()
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    url = f"redis+cluster://{hosts}?wait_replicas=1"
    yield Stand(url, {"killed": killed, "frozen": frozen})


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of two megabytes. Only root can mount one: others skip."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@asynccontextmanager
async def sqlite(directory: Path, disk: Path | None) -> AsyncIterator[Stand]:
    """*disk*: where a small file system is, for the fault that fills it."""
    file = (disk or directory) / "mintage.db"

    async def full(seconds: float) -> None:
        assert disk is not None
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as out:
            while True:
                out.write(b"\0" * 4096)
                out.flush()
        await asyncio.sleep(seconds)
        ballast.unlink()

    async def read_only(seconds: float) -> None:
        """Not even root writes to a file that is immutable."""
        files = [path for path in file.parent.glob("mintage.db*") if "shm" not in path.name]
        words = ["chattr", "+i", *map(str, files)]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            pytest.skip("needs the right to make a file immutable, and a file system that can")
        try:
            await asyncio.sleep(seconds)
        finally:
            await command("chattr", "-i", *files)

    async def locked(seconds: float) -> None:
        """Another process holds the write lock, and stands still."""
        script = (
            "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "db.execute('PRAGMA busy_timeout = 5000'); db.execute('BEGIN IMMEDIATE');"
            "print('mine', flush=True); time.sleep(3600)"
        )
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(file), stdout=subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            assert await holder.stdout.readline() == b"mine\n"
            await asyncio.sleep(seconds)
        finally:
            holder.kill()
            await holder.communicate()

    yield Stand(f"sqlite://{file}", {"full": full, "read-only": read_only, "locked": locked})
