"""Tokens that are bound to a key, in applications with Mintage inside (CHECKLIST 122)."""

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastmcp import Client as FastClient
from fastmcp import FastMCP
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mintage.integrations.asgi import Login
from mintage.integrations.fastmcp import MintageAuth
from mintage.integrations.fastmcp import current_user as fast_user
from mintage.integrations.mcp_sdk import McpLogin
from mintage.integrations.starlette import user_of
from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.integrations.conftest import House, Open
from tests.integrations.test_mcp_sdk import notes
from tests.support.dpop import BoundClient, Prover

RESOURCE: dict[str, Any] = {"path": "/mcp", "scopes": ["tools"]}
pytestmark = pytest.mark.filterwarnings("ignore:Using in-memory token storage:UserWarning")


@dataclass
class Proving(httpx2.Auth):
    """What a client of httpx2 sends with each request: a bound token and a new proof."""

    client: BoundClient
    token: str

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["authorization"] = f"DPoP {self.token}"
        proof = self.client.proof(request.method, str(request.url), token=self.token)
        request.headers.update(proof)
        yield request


async def who(request: Request) -> Response:
    shown = {name: request.headers.get(name) for name in ("authorization", "dpop")}
    return JSONResponse({"user": user_of(request).subject} | shown)


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(user_of(websocket).subject)
    await websocket.close()


def of_starlette(login: Login) -> ASGIApp:
    routes = [Mount("/mcp", routes=[WebSocketRoute("/socket", talk), Route("/{rest:path}", who)])]
    return Starlette(routes=routes, middleware=[Middleware(login.middleware)])


def of_the_sdk(login: McpLogin) -> ASGIApp:
    return login.app(notes(login))


def of_fastmcp(login: Login) -> ASGIApp:
    auth = MintageAuth.of(login.mintage)
    auths[:] = [auth]
    server = FastMCP("notes", auth=auth)

    @server.tool
    async def whoami() -> str:
        return fast_user().subject

    app: ASGIApp = server.http_app(path="/mcp")
    return app


auths: list[MintageAuth] = []
"""The login of the server that `of_fastmcp` has built."""

BUILDS: dict[str, Any] = {
    "starlette": of_starlette, "mcp_sdk": of_the_sdk, "fastmcp": of_fastmcp,
}  # fmt: skip


@pytest.fixture(params=list(BUILDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def home(house: Open, kind: str) -> AsyncIterator[House]:
    async with house(BUILDS[kind], kind=McpLogin, resource=[RESOURCE]) as running:
        yield running


@asynccontextmanager
async def bound(home: House) -> AsyncIterator[tuple[BoundClient, str]]:
    """A client that has logged in, and its bound token."""
    client = OAuthClient(home.issuer, home.http, home.issuer + "/mcp")
    mine = BoundClient(await client.register(), home.clock)
    async with Browser(stop_at=(REDIRECT_URI, "https://")) as browser:
        yield mine, (await mine.tokens(browser))["access_token"]


async def post(home: House, headers: dict[str, str]) -> httpx2.Response:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    spoken = {"accept": "application/json, text/event-stream", **headers}
    return await home.http.post(f"{home.origin}/mcp/", json=listing, headers=spoken)


async def test_spec122_a_bound_token_with_its_proofs(home: House, kind: str) -> None:
    """Starlette; and servers of the SDK and of FastMCP, with their own clients."""
    url = f"{home.origin}/mcp"
    async with bound(home) as (client, token):
        proving = Proving(client, token)
        if kind == "starlette":
            answer = await home.http.get(f"{url}/x", auth=proving)
            assert answer.json() == {
                "user": "alice", "authorization": f"Bearer {token}", "dpop": None,
            }  # fmt: skip
        elif kind == "fastmcp":
            async with FastClient(url, auth=proving) as theirs:
                assert (await theirs.call_tool("whoami", {})).data == "alice"
        else:
            async with httpx2.AsyncClient(verify=trusted(), auth=proving, trust_env=False) as http:
                transport = streamable_http_client(url, http_client=http)
                async with Client(transport) as official:
                    result = await official.call_tool("whoami", {})
            assert "alice" in str(result.content)


async def test_attack_f54_a_stolen_bound_token_in_an_application(home: House, kind: str) -> None:
    """As Bearer, with the thief's key, with a proof for another URL, and with a used one."""
    path = f"{home.issuer}/mcp/"
    async with bound(home) as (client, token):
        answer = await post(home, {"authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('DPoP error="invalid_token"')
        thief = BoundClient(client.client, home.clock, Prover.fresh())
        scheme = {"authorization": f"DPoP {token}"}
        for proof in (
            {},
            thief.proof("POST", path, token=token),
            client.proof("POST", f"{home.issuer}/other", token=token),
            client.proof("GET", path, token=token),
            client.proof("POST", path, token="another"),
        ):
            answer = await post(home, scheme | proof)
            assert answer.status_code == 401
            assert 'DPoP error="invalid_dpop_proof"' in answer.headers["www-authenticate"]
        once = scheme | client.proof("POST", path, token=token)
        assert (await post(home, once)).status_code != 401
        assert (await post(home, once)).status_code == 401


@pytest.mark.parametrize("kind", ["mcp_sdk", "fastmcp"], indirect=True)
async def test_attack_f54_a_frameworks_own_check_takes_no_bound_token(
    home: House, kind: str
) -> None:
    """``verify_token`` sees a token and no request: it can't know whether there was a proof."""
    assert isinstance(home.login, McpLogin)
    verifier: Any = home.login.verifier() if kind == "mcp_sdk" else auths[0]
    async with bound(home) as (client, token):
        assert await verifier.verify_token(token) is None
        client.prover = None
        async with Browser(stop_at=(REDIRECT_URI, "https://")) as browser:
            plain = (await client.tokens(browser))["access_token"]
        assert (await verifier.verify_token(plain)).subject == "alice"


@pytest.mark.parametrize("kind", ["starlette"], indirect=True)
async def test_spec122_a_websocket_is_opened_with_a_proof(home: House, kind: str) -> None:
    """The handshake is a GET (RFC 6455 §4.1); ``htu`` may have either scheme."""
    uri = f"ws{home.origin.removeprefix('http')}/mcp/socket"
    async with bound(home) as (client, token):
        for htu in (uri, f"{home.origin}/mcp/socket"):
            headers = {"authorization": f"DPoP {token}"} | client.proof("GET", htu, token=token)
            async with connect(uri, additional_headers=headers) as socket:
                assert await socket.recv() == "alice"
        for wrong in (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"DPoP {token}"},
            {"authorization": f"DPoP {token}"} | client.proof("POST", uri, token=token),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(uri, additional_headers=wrong):
                    pass
            assert refused.value.response.status_code == 401
