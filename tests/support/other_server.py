"""Another authorization server, whose MCP server takes no tokens but its own.

It redeems ID-JAGs as strictly as draft-ietf-oauth-identity-assertion-authz-grant-04 §4.4.1 asks.
"""

import asyncio
import base64
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from joserfc import jws
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving

CLIENT_ID = "mintage-at-the-other-server"
CLIENT_SECRET = "what mintage has at the other server"


@dataclass
class OtherServer:
    """*lifetime*: of its tokens, in seconds. *fault*: the status of each answer of ``/token``.

    *refuses*: whether its MCP server takes no token at all.
    """

    idp: FakeUpstream
    lifetime: int = 600
    fault: int | None = None
    error: str | None = None
    delay: float = 0
    refuses: bool = False
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    users: dict[str, tuple[str, float]] = field(default_factory=dict)
    assertions: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["OtherServer"]:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.metadata |= {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "grant_types_supported": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
        }
        app = Starlette(
            routes=[
                Route("/.well-known/oauth-authorization-server", self._metadata),
                Route("/token", self._token, methods=["POST"]),
                Route("/mcp", self._mcp, methods=["GET", "POST"]),
            ]
        )
        config = uvicorn.Config(app, port=port, log_config=None, lifespan="off")
        async with serving(uvicorn.Server(config)):
            yield self

    async def _metadata(self, _: Request) -> Response:
        return JSONResponse(self.metadata)

    async def _token(self, request: Request) -> Response:
        self.seen["token"] += 1
        await asyncio.sleep(self.delay)
        if self.fault is not None:
            return JSONResponse({}, self.fault, headers={"retry-after": "7"})
        if self.error is not None:
            return JSONResponse({"error": self.error}, 400)
        pair = base64.b64encode(b"mintage-at-the-other-server:what+mintage+has+at+the+other+server")
        if request.headers.get("authorization") != f"Basic {pair.decode()}":
            return JSONResponse({"error": "invalid_client"}, 401)
        form = await request.form()
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        claims = self._verified(str(form.get("assertion")))
        if claims is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.assertions.append(claims)
        token = f"of-the-other-server-{secrets.token_urlsafe(12)}"
        self.users[token] = claims["sub"], self.idp.clock() + self.lifetime
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        )

    def _verified(self, assertion: str) -> dict[str, Any] | None:
        """The claims of a good ID-JAG for this server and this client, once."""
        try:
            signed = jws.deserialize_compact(assertion.encode(), self.idp.key, ["RS256"])
        except (JoseError, ValueError):
            return None
        claims: dict[str, Any] = json.loads(signed.payload)
        good = (
            signed.headers().get("typ") == "oauth-id-jag+jwt"
            and claims["iss"] == self.idp.issuer
            and claims["aud"] == self.url
            and claims["client_id"] == CLIENT_ID
            and claims["iat"] <= self.idp.clock() < claims["exp"]
            and claims["jti"] not in self._used
        )
        self._used.add(claims["jti"])
        return claims if good else None

    async def _mcp(self, request: Request) -> Response:
        self.seen["mcp"] += 1
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        user, end = self.users.get(token, ("", 0.0))
        if self.refuses or self.idp.clock() >= end:
            told = f'Bearer resource_metadata="{self.url}/.well-known/oauth-protected-resource"'
            return JSONResponse({"error": "invalid_token"}, 401, headers={"www-authenticate": told})
        return JSONResponse({"user": user, "headers": dict(request.headers)})
