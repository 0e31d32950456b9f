"""``mcp-remote`` as its users run it: a stdio command that opens a browser when it has to."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import approve
from tests.support.mcp_servers import whoami
from tests.support.node import HERE, node
from tests.support.world import World

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]

# What desktops start for a URL: hands it on to the test's own browser.
LAUNCHER = """\
#!{python}
import socket, sys
with socket.create_connection(("127.0.0.1", {port})) as test:
    test.sendall(sys.argv[1].encode() + b"\\n")
"""


@asynccontextmanager
async def desktop(directory: Path, person: Browser, opened: list[str]) -> AsyncIterator[Path]:
    """A program that opens URLs in *person*'s browser, as $BROWSER names one."""

    async def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append((await reader.readline()).decode().strip())
        writer.close()
        await approve(person, opened[-1])

    server = await asyncio.start_server(arrived, "127.0.0.1", 0)
    launcher = directory / "browser"
    port = server.sockets[0].getsockname()[1]
    launcher.write_text(LAUNCHER.format(python=sys.executable, port=port))
    launcher.chmod(0o700)
    async with server:
        yield launcher


def command(url: str, home: Path, browser: Path) -> StdioServerParameters:
    """``npx mcp-remote URL``, with a home of its own."""
    npx = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npx-cli.js"
    return StdioServerParameters(
        command=str(node()),
        args=[str(npx), "--offline", "mcp-remote", url],
        cwd=HERE,
        env={
            "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "BROWSER": str(browser),
        },
    )


async def test_npx_mcp_remote_logs_in_once_and_refreshes(
    world: World, person: Browser, tmp_path: Path
) -> None:
    opened: list[str] = []
    async with desktop(tmp_path, person, opened) as browser:
        start = command(world.resource, tmp_path, browser)
        async with Client(start, mode="legacy") as client:
            assert await whoami(client) == "alice"
            world.clock.advance(3600 + 60)
            assert await whoami(client) == "alice", "after the access token's end"
        async with Client(start, mode="legacy") as client:
            assert await whoami(client) == "alice", "the next start finds its tokens"
    assert len(opened) == 1, "one login for all of it"
    assert world.upstream.seen["authorization_code"] == 1
