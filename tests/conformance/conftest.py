"""The same system for every suite: a provider, a real MCP server, Mintage in front of it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer

from mintage.demo.backend import build
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, approve
from mintage.testing.serving import serving
from tests.conformance.node import Answer, NodeMissing, install
from tests.conftest import World


@pytest.fixture(scope="session")
def node_modules() -> None:
    """The packages of the lock file. Where they can't be had the test skips; in CI it fails."""
    try:
        install()
    except NodeMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@asynccontextmanager
async def listening(server: MCPServer) -> AsyncIterator[str]:
    """*server* on a free port, and its URL."""
    port = free_port()
    app = server.streamable_http_app(host="127.0.0.1")
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1
    )
    async with serving(uvicorn.Server(config)):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture
async def mcp_server(upstream: FakeUpstream) -> AsyncIterator[str]:
    """The URL of an MCP server that leaves login to others."""
    async with listening(build(f"{upstream.issuer}/userinfo")) as url:
        yield url


@pytest.fixture
def overrides(mcp_server: str) -> dict[str, Any]:
    return {
        "resource": [
            {"path": "/mcp", "backend": mcp_server, "scopes": ["tools"], "credential": "upstream"}
        ]
    }


@pytest.fixture
async def person() -> AsyncIterator[Browser]:
    """A browser that goes wherever it is sent, the client's own address included."""
    async with Browser() as browser:
        yield browser


@pytest.fixture
async def answers(world: World) -> AsyncIterator[dict[str, Answer]]:
    """What a client asks of the world around it: a person with a browser, and time that passes."""
    async with Browser(stop_at=(REDIRECT_URI,)) as browser:

        async def opened(url: str) -> str:
            return (await approve(browser, url)).url

        async def wait(seconds: int) -> str:
            world.clock.advance(seconds)
            return "done"

        yield {"open": opened, "wait": wait}
