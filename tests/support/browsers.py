"""A site for browsers behind the gateway, and what a browser sends to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from starlette.types import Receive, Scope, Send

from mintage.testing.browser import Browser, Page
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.world import THE_BACKEND, World

SITE: Final = {
    "path": "/site",
    "backend": THE_BACKEND,
    "scopes": ["site"],
    "credential": "identity",
    "browser": True,
    "name": "The Wiki",
}
API: Final = {
    "path": "/mcp",
    "backend": THE_BACKEND,
    "scopes": ["tools"],
    "credential": "identity",
}

NAVIGATION: Final = {
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "sec-fetch-site": "none",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}
FETCH: Final = {
    "accept": "*/*",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
}


def two_resources(**site: Any) -> dict[str, Any]:
    """Settings with a site and an API, as `overrides` of a world has them."""
    return {"resource": [SITE | site, dict(API)]}


async def signed_in(world: World, browser: Browser, address: str = "/site/") -> Page:
    """The page at *address*, after the login that leads there."""
    page = await browser.open(world.issuer + address)
    assert page.status == 200, page.text
    return page


async def session_of(world: World, address: str = "/site/") -> dict[str, str]:
    """The ``Cookie`` header of a browser that is signed in."""
    async with world.browser() as browser:
        await signed_in(world, browser, address)
        return world.cookies_of(browser)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A WebSocket that says who is calling, and then what it hears."""
    if scope["type"] != "websocket":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": b"a page"})
    await receive()
    await send({"type": "websocket.accept"})
    user = dict(scope["headers"])[b"x-forwarded-user"]
    await send({"type": "websocket.send", "text": user.decode()})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    return None


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """`echo` as a backend; its URL."""
    port = free_port()
    config = uvicorn.Config(echo, host="127.0.0.1", port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        yield f"http://127.0.0.1:{port}"
