"""Sessions with the server of `tests.support.stdio_server`, behind Mintage."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from mintage.network.tls import trusted
from tests.support.world import World

SERVER = str(Path(__file__).with_name("stdio_server.py"))
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


async def token(world: World, user: str = "alice") -> str:
    world.upstream.user = user
    client = await world.client()
    async with world.browser() as browser:
        found: str = (await client.tokens(browser))["access_token"]
    return found


@asynccontextmanager
async def session(world: World, access: str, mode: str = "legacy") -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {access}"}
    async with (
        httpx2.AsyncClient(verify=trusted(), headers=headers, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(world.resource, http_client=http), mode=mode) as client,
    ):
        yield client


async def said(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def begin(world: World, access: str) -> httpx2.Response:
    """The first request of a session, and no more."""
    return await post(world, access, INITIALIZE)


async def post(
    world: World, access: str, message: dict[str, Any], **headers: str
) -> httpx2.Response:
    spoken = {
        "authorization": f"Bearer {access}",
        "accept": "application/json, text/event-stream",
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await world.http.post(world.resource, json=message, headers=spoken | named)
