"""Stores that break as they are told: servers of our own, and the ways in which each fails."""

import asyncio
import contextlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mintage.testing.nanoidp import free_port
from tests.support.servers import Server, Wire, program

Fault = Callable[[float], Coroutine[Any, Any, None]]
"""Goes on for so many seconds, and is mended then."""


@dataclass
class Stand:
    """A store at *url*, and what can be done to it."""

    url: str
    faults: Mapping[str, Fault]

    def __post_init__(self) -> None:
        """Each test is an installation of its own, with its own part of a shared engine."""
        if not self.url.startswith("sqlite"):
            part = "schema" if self.url.startswith("postgresql") else "prefix"
            mark = "&" if "?" in self.url else "?"
            self.url += f"{mark}{part}=t{secrets.token_hex(4)}"


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


@asynccontextmanager
async def pooler(pooler: Server, engine: Server) -> AsyncIterator[Stand]:
    """A pooler in transaction mode, which breaks, and the PostgreSQL behind it, which does too."""
    async with Wire(pooler.port).running() as wire:
        url = f"postgresql://mintage@127.0.0.1:{wire.port}/postgres"
        behind = of_a_server(engine)
        own = {f"engine {fault}": behind[fault] for fault in ("killed", "frozen")}
        yield Stand(url, of_a_server(pooler) | of_a_wire(wire) | own)


@asynccontextmanager
async def restricted(server: Server) -> AsyncIterator[Stand]:
    """A user who may do what the manual lists and nothing else; CONFIG and INFO are not there."""

    async def acl(*rules: str) -> None:
        await redis_cli(server.port, "acl", "setuser", "mint", *rules)

    async def without_rights(seconds: float) -> None:
        """Somebody edits the rules, and puts them back."""
        await acl("-eval", "-hmget")
        await asyncio.sleep(seconds)
        await acl("+eval", "+hmget")

    async with Wire(server.port).running() as wire:
        own = {"without rights": without_rights}
        stand = Stand(
            f"redis://mint:pw@127.0.0.1:{wire.port}/0", of_a_server(server) | of_a_wire(wire) | own
        )
        prefix = stand.url.partition("prefix=")[2]
        rules = documented_rules().replace("mintage:1:", f"{prefix}:1:")
        await acl("reset", "on", ">pw", *rules.split())
        yield stand


def documented_rules() -> str:
    """The manual's rights for a user of Redis, without its name and password."""
    page = Path(__file__).parents[2] / "docs/how-to/run-a-store.md"
    (found,) = re.findall(
        r"^ACL SETUSER mintage on >PASSWORD (.+)$", page.read_text(), re.MULTILINE
    )
    assert isinstance(found, str)
    return found


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of sixteen megabytes; the log takes four before it is folded in.

    Only root can mount one: others skip.
    """
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def check_immutable(directory: Path) -> None:
    """Only root can make a file immutable, and only some file systems know how: others skip."""
    trial = directory / "trial"
    trial.touch()
    words = ["chattr", "+i", str(trial)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a file immutable, and a file system that can")
    subprocess.run(["chattr", "-i", str(trial)], check=True)


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
        await command("chattr", "+i", *files)
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
