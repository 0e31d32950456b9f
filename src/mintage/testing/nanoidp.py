"""A real third-party login provider, the package ``nanoidp``, in a process of its own."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx2

_SETTINGS = """\
config_version: 1
server: {{host: "127.0.0.1", port: {port}}}
oauth:
  issuer: "{issuer}"
  audience: "{client_id}"
  token_expiry_minutes: 60
  clients:
    - client_id: "{client_id}"
      client_secret: "{client_secret}"
      redirect_uris: ["{redirect_uri}"]
"""
_CHOOSING: Final = "login: {mode: persona}\n"


@dataclass(frozen=True, slots=True)
class Person:
    """A user whom the login page offers: one click logs in, without a password."""

    username: str
    email: str
    groups: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class NanoIDP:
    """The provider's address, Mintage's client there, and a user who can log in."""

    issuer: str
    client_id: str = "mintage"
    client_secret: str = field(default="a-secret-of-this-demo-only", repr=False)
    username: str = "admin"
    password: str = field(default="admin", repr=False)


@asynccontextmanager
async def nanoidp(*, redirect_uri: str, people: Sequence[Person] = ()) -> AsyncIterator[NanoIDP]:
    """Run the provider on a free loopback port, in its strict profile, from when it answers.

    With *people* its login page offers these, and nobody else can log in.
    """
    port = free_port()
    provider = NanoIDP(f"http://127.0.0.1:{port}")
    with TemporaryDirectory(prefix="nanoidp-") as directory:
        await _run("init", directory, directory=directory)
        settings = _SETTINGS.format(
            port=port, issuer=provider.issuer, client_id=provider.client_id,
            client_secret=provider.client_secret, redirect_uri=redirect_uri,
        )  # fmt: skip
        if people:
            settings += _CHOOSING
            await asyncio.to_thread((Path(directory) / "users.yaml").write_text, _users(people))
        await asyncio.to_thread((Path(directory) / "settings.yaml").write_text, settings)
        async with _process(directory, port):
            await _wait(f"{provider.issuer}/.well-known/openid-configuration")
            yield provider


@asynccontextmanager
async def _process(directory: str, port: int) -> AsyncIterator[None]:
    async with _started(
        "--host", "127.0.0.1", "--port", str(port), "--config", directory, "--profile", "oauth21",
        directory=directory,
    ):  # fmt: skip
        yield


def _users(people: Sequence[Person]) -> str:
    """The users as JSON, which is YAML too."""
    users = {
        one.username: {
            "email": one.email,
            "groups": list(one.groups),
            "roles": ["USER"],
            "description": one.description,
        }
        for one in people
    }
    return json.dumps({"config_version": 1, "users": users})


async def _run(*args: str, directory: str) -> None:
    async with _started(*args, directory=directory) as child:
        if await child.wait() != 0:
            raise RuntimeError("nanoidp can't be set up")


@asynccontextmanager
async def _started(*args: str, directory: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``nanoidp args…`` in *directory*, where it stores its keys. It stops with the block."""
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nanoidp",
        *args,
        cwd=directory,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,  # a terminal's Ctrl-C must not reach it: this block ends it
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()  # what still runs would write into a directory that is being removed


async def _wait(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(300):
            with contextlib.suppress(httpx2.HTTPError):
                await client.get(url)
                return
            await asyncio.sleep(0.1)
    raise RuntimeError("nanoidp did not come up")


_FIRST_PORT, _PORTS = 20_000, 12_000
_walks: dict[int, Iterator[int]] = {}  # by process: a child has one of its own


def _part() -> tuple[int, int]:
    """The first port of this process's part of the range, and how many there are.

    Each worker of pytest-xdist has a part of its own: two that walk side by side would now and then
    find the same port before either has started its server.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = _PORTS // workers
    return _FIRST_PORT + number * size, size


def free_port() -> int:
    """A loopback port on which no server listens.

    It is below the range of outgoing connections: one of those could take it before the server has
    started. Each process starts to search at a different place, so that two of them do not find the
    same port.
    """
    first, size = _part()
    walk = _walks.setdefault(os.getpid(), count(secrets.randbelow(size)))
    while True:
        port = first + next(walk) % size
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
