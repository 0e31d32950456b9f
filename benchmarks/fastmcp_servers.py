"""FastMCP servers to compare: ``python -m benchmarks.fastmcp_servers NAME PORT UPSTREAM DIR``.

The same server with one tool each time. ``none``: nobody is asked for a token. ``mintage-memory``
and ``mintage-sqlite``: `MintageAuth`. ``proxy-disk`` and ``proxy-memory``: FastMCP's own
``OAuthProxy`` on its default store and on its memory store, with a verifier that believes the
provider's token unseen. ``proxy-issuer``: the latter, with Mintage's issuer in it. ``oidc-memory``:
``OIDCProxy`` with its own verifier. All run as those of ``benchmarks.peers`` do.
``made-up``: one user who is always there, and no token is looked at.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.peers import oauth_proxy
from benchmarks.upstream import CLIENT_ID, CLIENT_SECRET

NAMES: Final = (
    "none", "mintage-memory", "mintage-sqlite", "proxy-memory", "proxy-issuer", "oidc-memory",
    "proxy-disk",
)  # fmt: skip
MADE_UP: Final = "made-up"
CALL: Final = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "scopes",
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
).encode()
SPOKEN: Final = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "scopes",
}
TOKEN: Final = 400 * "t"  # about as long as one of Mintage; nobody looks at it
_SECRET: Final = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"


def login(name: str, base_url: str, upstream: str, directory: Path) -> Any:
    """What ``FastMCP(auth=…)`` is given."""
    from mintage.integrations.fastmcp import MintageAuth, use_mintage_issuer

    kind, _, store = name.partition("-")
    if kind == "none":
        return None
    if name == MADE_UP:
        return made_up(base_url)
    if kind == "oidc":
        return oidc_proxy(base_url, upstream)
    if kind == "proxy":
        proxy = oauth_proxy(base_url, upstream, memory=store != "disk")
        return use_mintage_issuer(proxy) if store == "issuer" else proxy
    database = "memory://" if store == "memory" else f"sqlite://{directory}/mintage.db"
    return MintageAuth(**settings(base_url, upstream, database), scopes=["tools"])


def made_up(base_url: str) -> Any:
    """What FastMCP and the SDK do for any user is all that it costs: nothing is verified."""
    from fastmcp.server.auth.auth import AccessToken, AuthProvider
    from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from starlette.authentication import AuthCredentials
    from starlette.middleware import Middleware

    claims = {"iss": base_url, "sub": "alice"}
    token = AccessToken(
        token=TOKEN, client_id=TOKEN, scopes=["tools"], subject="alice", claims=claims
    )
    described = {"user": AuthenticatedUser(token), "auth": AuthCredentials(token.scopes)}

    def describing(app: ASGIApp) -> ASGIApp:
        async def described_app(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, **described}, receive, send)

        return described_app

    class MadeUp(AuthProvider):
        def get_middleware(self) -> list[Any]:
            return [Middleware(describing), Middleware(AuthContextMiddleware)]

        async def verify_token(self, token: str) -> None:
            raise NotImplementedError

    return MadeUp(base_url=base_url, required_scopes=["tools"])


def settings(base_url: str, upstream: str, store: str = "memory://") -> dict[str, Any]:
    """The settings of a login, without its resource."""
    os.environ.update(MINTAGE_SECRET=_SECRET, UPSTREAM_SECRET=CLIENT_SECRET)
    return {
        "issuer": base_url,
        "upstream": {
            "issuer": upstream, "client_id": CLIENT_ID, "client_secret": "env:UPSTREAM_SECRET"
        },
        "secret": "env:MINTAGE_SECRET",
        "store": store,
    }  # fmt: skip


def oidc_proxy(base_url: str, upstream: str) -> Any:
    from fastmcp.server.auth.oidc_proxy import OIDCProxy
    from key_value.aio.stores.memory import MemoryStore

    return OIDCProxy(
        config_url=f"{upstream}/.well-known/openid-configuration",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        base_url=base_url,
        algorithm="ES256",
        verify_id_token=True,  # the benchmark's provider has access tokens that are no JWTs
        strict=False,
        required_scopes=["tools"],
        require_authorization_consent="external",
        client_storage=MemoryStore(),
    )


def application(name: str, base_url: str, upstream: str, directory: Path) -> Any:
    from fastmcp import FastMCP
    from fastmcp.server.dependencies import get_access_token

    server = FastMCP("benchmark", auth=login(name, base_url, upstream, directory))

    @server.tool
    def scopes() -> str:
        token = get_access_token()
        return "nobody asked" if token is None else " ".join(token.scopes)

    return server.http_app(path="/mcp")


def main(name: str, port: str, upstream: str, directory: str) -> None:
    home = Path(directory) / name
    home.mkdir()
    os.environ["FASTMCP_HOME"] = str(home)
    os.environ["FASTMCP_LOG_LEVEL"] = "ERROR"
    uvicorn.run(
        application(name, f"http://127.0.0.1:{port}", upstream, home),
        host="127.0.0.1",
        port=int(port),
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
