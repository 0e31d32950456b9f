"""The same system for every suite: a provider, a real MCP server, Mintage in front of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mintage.demo.backend import build
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import REDIRECT_URI, approve
from tests.support.mcp_servers import listening
from tests.support.node import Answer
from tests.support.world import World


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
