"""A live server with a page of metrics, its provider, and what they say."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.support.command import served

CONFIG = """\
issuer = "http://127.0.0.1:{port}"
store  = "sqlite://{directory}/mintage.db"
secret = "file:root.secret"
[upstream]
issuer        = "{upstream.issuer}"
client_id     = "{upstream.client_id}"
client_secret = "file:upstream.secret"
[[resource]]
path       = "/mcp"
backend    = "http://127.0.0.1:{backend}"
credential = "upstream"
[metrics]
listen = "127.0.0.1:{page}"
"""
ROOT = "qK3vXr8mT1nZc5bL9wYs2dFhJ6gP0aEuV4iOxN7kM3o"


@dataclass
class Live:
    """A server process, and what its page says."""

    process: asyncio.subprocess.Process
    issuer: str
    page_url: str
    upstream: FakeUpstream
    http: httpx2.AsyncClient

    async def page(self) -> str:
        answer = await self.http.get(self.page_url)
        return answer.raise_for_status().text

    async def tokens(self) -> dict[str, str]:
        client = await OAuthClient(self.issuer, self.http, f"{self.issuer}/mcp").register()
        async with Browser(stop_at=(REDIRECT_URI,)) as browser:
            return await client.tokens(browser)


@asynccontextmanager
async def live(
    directory: Path, *arguments: str, backend: int, more: str = ""
) -> AsyncIterator[Live]:
    """``mintage serve`` with *arguments*. *backend*: its port. *more*: settings at the end."""
    port, page = free_port(), free_port()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeUpstream(time.time).running())
        for name, secret in (("root", ROOT), ("upstream", upstream.client_secret)):
            file = directory / f"{name}.secret"
            file.touch(0o600)
            file.write_text(secret)
        settings = directory / "mintage.toml"
        settings.write_text(
            CONFIG.format(
                port=port, directory=directory, upstream=upstream, backend=backend, page=page
            )
            + more
        )
        process = await stack.enter_async_context(served(settings, port, *arguments))
        http = httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30)
        await stack.enter_async_context(http)
        yield Live(
            process,
            f"http://127.0.0.1:{port}",
            f"http://127.0.0.1:{page}/metrics",
            upstream,
            http,
        )
