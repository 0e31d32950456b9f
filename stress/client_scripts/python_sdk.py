"""The official Python client, as its documentation builds one: URL of the server."""

import asyncio
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from pydantic import AnyUrl


class Memory:
    """Where the client keeps its tokens and its registration."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    async def get_tokens(self) -> Any:
        return self._kept.get("tokens")

    async def set_tokens(self, tokens: Any) -> None:
        self._kept["tokens"] = tokens

    async def get_client_info(self) -> Any:
        return self._kept.get("client")

    async def set_client_info(self, client_info: Any) -> None:
        self._kept["client"] = client_info


landed: dict[str, str] = {}


class Callback(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        landed.update(parse_qsl(urlsplit(self.path).query))
        self.send_response(200)
        self.end_headers()


async def main(url: str) -> None:
    listener = HTTPServer(("127.0.0.1", 0), Callback)

    async def redirect(page: str) -> None:
        await asyncio.create_subprocess_exec("xdg-open", page)

    async def callback() -> AuthorizationCodeResult:
        await asyncio.to_thread(listener.handle_request)
        return AuthorizationCodeResult(
            code=landed["code"], state=landed["state"], iss=landed.get("iss")
        )

    own = AnyUrl(f"http://127.0.0.1:{listener.server_port}/callback")
    metadata = OAuthClientMetadata(redirect_uris=[own])
    provider = OAuthClientProvider(url, metadata, Memory(), redirect, callback)
    async with (
        httpx2.AsyncClient(auth=provider) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = (await client.list_tools()).tools
        print("tools:", *[tool.name for tool in tools])


asyncio.run(main(sys.argv[1]))
