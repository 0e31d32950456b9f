"""Servers to compare with: ``python -m benchmarks.peers NAME PORT UPSTREAM DIRECTORY``.

``floor``: an endpoint that does what a revocation can't do without, and nothing else.
``fastmcp-disk`` and ``fastmcp-memory``: FastMCP's ``OAuthProxy`` on its default store and on
its memory store, in front of one protected route. ``starlette``: a bare JSON endpoint. All run
as ``mintage serve`` does: uvicorn with uvloop and httptools, no access log, and no logs
but errors (FastMCP's own setting would log each refresh).
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.upstream import CLIENT_ID, CLIENT_SECRET
from mintage.stores.opening import open_store
from mintage.upstream.protocol import HttpRequest
from mintage.upstream.transport import HttpTransport

PROTECTED: Final = "/protected"
JSON_PATH, POST_PATH = "/json", "/post"
TOKENS: Final = {
    "access_token": "a" * 420, "token_type": "Bearer", "expires_in": 3600, "scope": "tools",
    "refresh_token": "r" * 420,
}  # fmt: skip
_RECORD: Final = bytes(120)  # about as long as that of a grant that was revoked


async def endpoint(_: Request) -> Response:
    return JSONResponse({"ok": True})


async def post(request: Request) -> Response:
    """What a refresh can't do without: a body is read, and tokens are answered."""
    await request.body()
    return JSONResponse(TOKENS)


async def protected(request: Request) -> Response:
    """What the authentication of the whole application lets through."""
    return JSONResponse({"ok": True}, 200 if request.user.is_authenticated else 401)


def starlette() -> Starlette:
    return Starlette(routes=[Route(JSON_PATH, endpoint), Route(POST_PATH, post, methods=["POST"])])


def floor(upstream: str, directory: Path) -> Starlette:
    """It reads the body, writes a row durably, and tells the provider in the background."""
    transport, telling = HttpTransport(), set[asyncio.Task[Any]]()
    form = {"token": "a" * 1000, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    told = HttpRequest(method="POST", url=f"{upstream}/revoke", form=form)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.store = await open_store(f"sqlite://{directory}/floor.db", clock=time.time)
        yield
        await app.state.store.close()
        await transport.close()

    async def revoke(request: Request) -> Response:
        await request.body()
        key, until = secrets.token_bytes(32), int(time.time()) + 3600
        await request.app.state.store.insert(key, _RECORD, None, until)
        task = asyncio.create_task(transport.send(told))
        telling.add(task)
        task.add_done_callback(telling.discard)
        return Response()

    routes = [Route(JSON_PATH, endpoint), Route("/revoke", revoke, methods=["POST"])]
    return Starlette(routes=routes, lifespan=lifespan)


def oauth_proxy(base_url: str, upstream: str, *, memory: bool) -> Any:
    """FastMCP's proxy, with an upstream verifier that believes everything and costs nothing.

    Its consent page is left to somebody else, which changes nothing of what is timed.
    """
    from fastmcp.server.auth import AccessToken, TokenVerifier
    from fastmcp.server.auth.oauth_proxy import OAuthProxy
    from key_value.aio.stores.memory import MemoryStore

    class Trusting(TokenVerifier):  # type: ignore[misc]
        async def verify_token(self, token: str) -> AccessToken | None:
            return AccessToken(token=token, client_id="c", scopes=["tools"], expires_at=None)

    return OAuthProxy(
        upstream_authorization_endpoint=f"{upstream}/authorize",
        upstream_token_endpoint=f"{upstream}/token",
        upstream_revocation_endpoint=f"{upstream}/revoke",
        upstream_client_id=CLIENT_ID,
        upstream_client_secret=CLIENT_SECRET,
        token_verifier=Trusting(required_scopes=["tools"]),
        base_url=base_url,
        require_authorization_consent="external",
        client_storage=MemoryStore() if memory else None,
    )


def fastmcp(base_url: str, upstream: str, *, memory: bool) -> Any:
    from fastmcp import FastMCP

    server = FastMCP("benchmark", auth=oauth_proxy(base_url, upstream, memory=memory))
    server.custom_route(PROTECTED, methods=["GET"])(protected)
    return server.http_app(path="/mcp", stateless_http=True)


def application(name: str, base_url: str, upstream: str, directory: Path) -> Any:
    if name == "starlette":
        return starlette()
    if name == "floor":
        return floor(upstream, directory)
    return fastmcp(base_url, upstream, memory=name == "fastmcp-memory")


def main(name: str, port: str, upstream: str, directory: str) -> None:
    os.environ["FASTMCP_HOME"] = str(Path(directory) / name)
    os.environ["FASTMCP_LOG_LEVEL"] = "ERROR"
    uvicorn.run(
        application(name, f"http://127.0.0.1:{port}", upstream, Path(directory)),
        host="127.0.0.1",
        port=int(port),
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
