"""Rows of the table of attacks, at an application of Starlette's and at a server of the SDK's."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.integrations.mcp_sdk import McpLogin
from mintage.integrations.starlette import Login, user_of
from tests.integrations.conftest import House, Open
from tests.integrations.test_mcp_sdk import notes
from tests.support.grant_states import upstream_of
from tests.support.raw_backend import answer_at

RESOURCES = [{"path": path, "scopes": ["read"]} for path in ("/api", "/other")]

seen: list[str] = []
"""The paths that an application answered at."""


def watched(app: ASGIApp) -> ASGIApp:
    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope["path"])
        await app(scope, receive, send)

    return watching


async def who(request: Request) -> Response:
    return JSONResponse(user_of(request).subject)


def of_starlette(login: Login) -> ASGIApp:
    routes = [Mount(path, routes=[Route("/{rest:path}", who)]) for path in ("/api", "/other")]
    middleware = [Middleware(login.middleware), Middleware(watched)]
    return Starlette(routes=routes, middleware=middleware)


def of_the_sdk(login: McpLogin) -> ASGIApp:
    """Two servers in one application, each at a resource of its own."""
    guarded = login.app(notes(login, "/api"), notes(login, "/other"))
    return replace(guarded, app=watched(guarded.app))


@pytest.fixture(params=["starlette", "mcp_sdk"])
async def home(house: Open, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    seen.clear()
    build: Any = of_the_sdk if request.param == "mcp_sdk" else of_starlette
    async with house(build, kind=McpLogin, resource=RESOURCES) as running:
        yield running


async def test_attack_a09_starlette_and_mcp_sdk_a_token_opens_its_own_resource_only(
    home: House,
) -> None:
    session = await home.log_in("/api")
    for path in ("/other", "/other/x"):
        answer = await session.get(path)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert answer.headers["www-authenticate"].endswith('oauth-protected-resource/other"')
    assert seen == []
    await session.get("/api/x")
    assert seen == ["/api/x"]


async def test_attack_a09_starlette_and_mcp_sdk_the_upstreams_own_token_opens_nothing(
    home: House,
) -> None:
    session = await home.log_in("/api")
    opened = await home.login.running.bearer.read(
        session.tokens["access_token"], home.login.running.site.resources[0]
    )
    session.tokens["access_token"] = upstream_of(opened.opened.grant).access_token
    assert (await session.get("/api/x")).status_code == 401
    assert seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        {"forwarded": "host=evil.example;proto=https"},
        {"x-forwarded-prefix": "/evil", "x-original-url": "/public", "x-rewrite-url": "/public"},
    ],
    ids=str,
)
async def test_attack_d04_starlette_and_mcp_sdk_headers_change_no_address(
    home: House, headers: dict[str, str]
) -> None:
    answer = await home.http.get(f"{home.origin}/api/x", headers=headers)
    assert answer.status_code == 401
    metadata = f"{home.issuer}/.well-known/oauth-protected-resource/api"
    assert answer.headers["www-authenticate"].count("http://") == 1
    assert f'resource_metadata="{metadata}"' in answer.headers["www-authenticate"]
    document = (await home.http.get(metadata, headers=headers)).json()
    assert document["authorization_servers"] == [home.issuer]


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
        b"Content-Length: +4\r\n\r\nabcd",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_attack_d08_starlette_and_mcp_sdk_no_request_hides_in_another(
    home: House, framing: bytes
) -> None:
    token = (await home.log_in("/api")).tokens["access_token"]
    head = f"POST /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n".encode()
    answer = await answer_at(
        home.origin,
        head + framing + b"GET /api/hidden HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert seen == []


async def test_attack_d08_starlette_and_mcp_sdk_who_is_calling_stands_in_the_token_alone(
    home: House,
) -> None:
    theirs = {"x-forwarded-user": "root", "x-forwarded-email": "root@example.com", "x-user": "root"}
    assert (await home.http.get(f"{home.origin}/api/x", headers=theirs)).status_code == 401
    session = await home.log_in("/api")
    assert "root" not in (await session.get("/api/x", **theirs)).text


@pytest.mark.parametrize(
    "second", [b"Authorization: Bearer other", b"authorization: Basic eDp4", b"AUTHORIZATION: x"]
)
async def test_attack_d08_starlette_and_mcp_sdk_two_tokens_are_none(
    home: House, second: bytes
) -> None:
    token = (await home.log_in("/api")).tokens["access_token"]
    first = f"Authorization: Bearer {token}\r\n".encode()
    for both in (first + second, second + b"\r\n" + first.rstrip()):
        answer = await answer_at(
            home.origin,
            b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + both + b"\r\nConnection: close\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 400 ")
    assert seen == []


@pytest.mark.parametrize(
    "path",
    ["/%61pi/x", "//api/x", "/x/../api/x", "/x/..%2fapi/x", "/api%2fx", "/%2561pi/x", "/api;/x"],
)
async def test_attack_d09_starlette_and_mcp_sdk_no_spelling_gets_past_the_door(
    home: House, path: str
) -> None:
    answer = await answer_at(
        home.origin, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer[9:12] in (b"400", b"401")
    assert seen == []
