"""Log lines of applications with Mintage inside name the request that they belong to."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastmcp import FastMCP
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from mintage.integrations.asgi import Login
from mintage.integrations.fastmcp import MintageAuth
from mintage.integrations.mcp_sdk import McpLogin
from mintage.logs import JsonLines, RequestFilter
from tests.integrations import test_fastmcp
from tests.integrations.conftest import Open

MCP: dict[str, Any] = {"path": "/mcp", "scopes": ["tools"]}
fastmcp_house = test_fastmcp.house
log = logging.getLogger("the.application")


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.addFilter(RequestFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(JsonLines().format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    handler = Lines()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler.lines
    log.removeHandler(handler)


async def page(_: Request) -> PlainTextResponse:
    log.info("at work")
    return PlainTextResponse("done")


def starlette(login: Login) -> Starlette:
    app = Starlette(routes=[Route("/api/me", page), Route("/public", page)])
    app.add_middleware(login.middleware)
    return app


def fastapi(login: Login) -> FastAPI:
    app = FastAPI()
    app.add_middleware(login.middleware)

    @app.get("/api/me")
    @app.get("/public")
    def me() -> str:  # in a thread
        log.info("at work")
        return "done"

    return app


@pytest.mark.parametrize("build", [starlette, fastapi])
async def test_a_web_application(build: Any, house: Open, lines: list[dict[str, Any]]) -> None:
    async with house(build) as home:
        session = await home.log_in()
        for path in ("/api/me", "/public", "/api/me"):
            answer = await session.get(path)
            assert lines.pop()["request_id"] == answer.headers["x-request-id"]
    assert lines == []


def plain(login: Login) -> Starlette:
    """An application whose headers are an iterator, as ASGI allows."""

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain"), (b"x-request-id", b"its own"), (b"x-a", b"b")]
        await send({"type": "http.response.start", "status": 200, "headers": iter(headers)})
        await send({"type": "http.response.body", "body": b"done"})

    app = Starlette(routes=[Mount("/", page)])
    app.add_middleware(login.middleware)
    return app


async def test_headers_that_can_be_read_once_arrive(house: Open) -> None:
    async with house(plain) as home:
        session = await home.log_in()
        for path in ("/api/me", "/public", "/api/me"):
            answer = await session.get(path)
            assert answer.headers["content-type"] == "text/plain"
            assert answer.headers["x-a"] == "b"
            assert re.fullmatch("[0-9a-f]{12}", answer.headers["x-request-id"])


async def spoken(http: httpx2.AsyncClient, url: str, token: str) -> list[str]:
    """The ids of two tool calls in one session."""
    headers = {
        "accept": "application/json, text/event-stream",
        "authorization": f"Bearer {token}",
    }
    me = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": me}
    answer = await http.post(url, json=begin, headers=headers)
    headers["mcp-session-id"] = answer.headers["mcp-session-id"]
    begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(url, json=begun, headers=headers)
    ids = []
    for number in (2, 3):
        call = {"name": "work", "arguments": {}}
        asked = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}
        answer = await http.post(url, json=asked, headers=headers)
        assert "done" in answer.text
        ids.append(answer.headers["x-request-id"])
    return ids


async def test_tools_of_fastmcp_in_one_session(
    fastmcp_house: test_fastmcp.Open, lines: list[dict[str, Any]]
) -> None:
    def build(auths: list[MintageAuth]) -> Any:
        server = FastMCP("notes", auth=auths[0])

        @server.tool
        async def work() -> str:
            log.info("at work")
            return "done"

        return server.http_app()

    async with fastmcp_house(build) as home:
        ids = await spoken(home.http, f"{home.origin}/mcp", await home.token())
    assert [line["request_id"] for line in lines] == ids


async def test_tools_of_the_official_sdk_in_one_session(
    house: Open, lines: list[dict[str, Any]]
) -> None:
    def build(login: McpLogin) -> Any:
        server = MCPServer(
            "notes",
            token_verifier=login.verifier("/mcp"),
            auth=login.auth_settings("/mcp"),
            log_level="WARNING",
        )

        @server.tool()
        async def work() -> str:
            log.info("at work")
            return "done"

        return login.app(server)

    async with house(build, kind=McpLogin, resource=[MCP]) as home:
        session = await home.log_in("/mcp")
        token = session.tokens["access_token"]
        ids = await spoken(home.http, f"{home.origin}/mcp", token)
    assert [line["request_id"] for line in lines] == ids
