"""What a login adds to a call of a FastMCP tool: every server in this one process, without sockets.

A few calls of each in turn, over and over, so that no slow moment of the machine is one server's
alone. The share is too large rather than too small: parsing HTTP would come on top of each.
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from starlette.types import ASGIApp, Message

from benchmarks.fastmcp_servers import CALL, MADE_UP, NAMES, SPOKEN, TOKEN, application
from benchmarks.systems import provider
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient

HOST: Final = "127.0.0.1:1"  # nobody listens there: nothing goes over a socket
ISSUER: Final = f"http://{HOST}"
CALLS: Final = 5  # of one server before it is the next one's turn
AFTER: Final = 1  # first, that does not count: it pays for what the server before left behind
_WARM: Final = 5  # turns that do not count: the first calls are slow


@dataclass
class Subject:
    """*times*: CPU seconds of one call, a figure for each turn."""

    name: str
    app: ASGIApp
    scope: dict[str, Any]
    context: Context
    times: list[float] = field(default_factory=list)

    async def turn(self) -> None:
        """In the context of its own lifespan, as a server of its own would have it."""
        await asyncio.get_running_loop().create_task(self._turn(), context=self.context)

    async def once(self) -> None:
        """One call, in that context."""
        await asyncio.get_running_loop().create_task(self._call(), context=self.context)

    async def _turn(self) -> None:
        for _ in range(AFTER):
            await self._call()
        begin = time.process_time()
        for _ in range(CALLS):
            await self._call()
        self.times.append((time.process_time() - begin) / CALLS)

    async def _call(self) -> None:
        done = asyncio.Event()
        sent = [{"type": "http.request", "body": CALL, "more_body": False}]

        async def receive() -> Message:
            if not sent:
                await done.wait()
                return {"type": "http.disconnect"}
            return sent.pop()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] != 200:
                raise ValueError(f"{self.name}: {message['status']}")

        await self.app({**self.scope, "headers": [*self.scope["headers"]]}, receive, send)
        done.set()


def subject(name: str, upstream: str, directory: Path) -> AbstractAsyncContextManager[Subject]:
    """A started server of FastMCP, and a request with a token where one is wanted."""
    home = directory / f"share-{name}"
    home.mkdir()
    app = application(name, ISSUER, upstream, home)
    return started(name, app, app.lifespan(app), sent=_SENT.get(name, logged_in))


@asynccontextmanager
async def started(
    name: str, app: ASGIApp, lifespan: AbstractAsyncContextManager[Any], *, sent: "Sent"
) -> AsyncIterator[Subject]:
    """*app* in its *lifespan*, and a request with the token that is *sent*."""
    async with lifespan:
        token = await sent(app)
        headers = {"host": HOST, **SPOKEN, "content-length": str(len(CALL))}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/mcp", "raw_path": b"/mcp", "root_path": "", "query_string": b"",
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        yield Subject(name, app, scope, copy_context())


async def nobody(_app: ASGIApp) -> None:
    """No token."""


async def anybody(_app: ASGIApp) -> str:
    """A token that nobody verifies."""
    return TOKEN


async def logged_in(app: ASGIApp) -> str:
    """An access token, by a whole login."""
    inside = httpx2.ASGITransport(app)
    async with (
        httpx2.AsyncClient(transport=inside) as http,
        Browser(stop_at=(REDIRECT_URI,), mounts={ISSUER: inside}) as browser,
    ):
        client = await OAuthClient(ISSUER, http, f"{ISSUER}/mcp").register()
        login = client.authorization(scope="tools")
        page = await browser.open(login.url)
        if page.forms:
            page = await browser.submit(page, {"decision": "approve"})
        code = httpx2.URL(page.url).params["code"]
        answer = await client.redeem(login, code)
        token: str = answer.raise_for_status().json()["access_token"]
        return token


Sent = Callable[[ASGIApp], Awaitable[str | None]]
"""The token of a request to an application, or None."""

_SENT: Final[dict[str, Sent]] = {"none": nobody, MADE_UP: anybody}


async def measure(turns: int, directory: Path) -> dict[str, Subject]:
    async with AsyncExitStack() as stack:
        os.environ |= {"FASTMCP_HOME": str(directory), "FASTMCP_LOG_LEVEL": "ERROR"}
        upstream = await stack.enter_async_context(provider(directory, lifetime=3600))
        subjects = [
            await stack.enter_async_context(subject(name, upstream, directory))
            for name in (*NAMES, MADE_UP)
            if name != "proxy-disk"  # its files hold up whoever comes next
        ]
        for _ in range(_WARM + turns):
            for each in subjects:
                await each.turn()
        for each in subjects:
            del each.times[:_WARM]
        return {each.name: each for each in subjects}


def share(one: Subject, none: Subject) -> float:
    """The median over the turns of what *one* spent that *none* did not."""
    pairs = zip(one.times, none.times, strict=True)
    return statistics.median((a - b) / a for a, b in pairs)
