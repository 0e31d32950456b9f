"""The small ones of the real clients of `stress.clients`, at the gateway and at `MintageAuth`.

The packages are those of this environment and of the lock file here; there is no network
namespace. ``python -m stress.clients`` runs all of them as their users install them.
"""

import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from stress.client_programs import SCRIPTS, Client
from stress.clients import embedded, gateway, run

from mintage.testing.fake_upstream import FakeUpstream
from tests.support.node import HERE, node

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]

Server = Callable[[FakeUpstream, Path], AbstractAsyncContextManager[str]]

PYTHON = {"python_sdk": "the Python SDK", "fastmcp_client": "FastMCP's client"}
TYPESCRIPT = ("@modelcontextprotocol/sdk", "@modelcontextprotocol/client")


def program(name: str, command: str) -> Client:
    return Client(
        name=name, package=name, version="of the lock", commands=(command,), connected="whoami"
    )


@pytest.fixture(params=[*PYTHON, *TYPESCRIPT, "mcp-remote"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    name: str = request.param
    if name in PYTHON:
        return program(PYTHON[name], f"{sys.executable} {SCRIPTS}/{name}.py URL")
    if name == "mcp-remote":
        return program(name, f"{node()} {HERE}/node_modules/.bin/mcp-remote-client URL")
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    script = shutil.copy(SCRIPTS / "typescript.mjs", tmp_path)
    return program(name, f"{node()} {script} {name} URL")


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(time.time).running() as upstream:
        yield upstream


@pytest.mark.parametrize("server", [gateway, embedded])
async def test_logs_in_with_default_settings_on_both_sides(
    client: Client, server: Server, upstream: FakeUpstream, tmp_path: Path
) -> None:
    async with server(upstream, tmp_path) as url:
        outcome = await run(client, url, tmp_path / "home")
    assert outcome.connected, outcome.said
    assert outcome.way == "registration"


async def test_a_client_without_its_program_does_not_log_in(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    """`stress.clients` notices it."""
    async with gateway(upstream, tmp_path) as url:
        outcome = await run(
            program("none", f"{sys.executable} -c pass URL"), url, tmp_path / "home"
        )
    assert (outcome.connected, outcome.way) == (False, "opened no browser")
