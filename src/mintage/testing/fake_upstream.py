"""An OpenID provider that does as it is told, and fails as it is told.

It logs its one user in without a page: the automatic approval that consent has to guard
against. It checks PKCE, rotates refresh tokens and ends the family when an old one comes
again, as strict providers do.
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from urllib.parse import urlencode

import uvicorn
from joserfc import jwk, jws
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mintage.grant import s256
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from mintage.values import Clock

Fault = Literal[
    "hang", "500", "503", "429", "reset", "garbage", "array", "huge", "redirect",
    "invalid_grant", "invalid_client", "temporarily_unavailable", "no_access_token",
]  # fmt: skip
Endpoint = Literal["discovery", "jwks", "token", "userinfo", "revoke"]

_TOO_LARGE = 2 * 1024 * 1024


@dataclass(slots=True)
class _Code:
    challenge: str
    nonce: str
    redirect_uri: str


@dataclass(slots=True)
class _Family:
    """One login's tokens: the newest of each kind, and whether it still lives."""

    refresh_token: str
    access_token: str
    live: bool = True


@dataclass
class FakeUpstream:
    """*faults*: what goes wrong at which endpoint, until it is taken out again.

    *seen* counts the requests to each endpoint and each grant type. *lifetime* is
    ``expires_in`` (seconds). *claims* are added to each id_token, over what it would hold;
    a value of None takes a claim out. *sign* makes the id_token instead of the provider's
    own key. *release* ends every hang.
    """

    clock: Clock
    client_id: str = "mintage"
    client_secret: str = field(default="a-secret-of-the-fake-upstream", repr=False)
    lifetime: int | None = 3600
    refreshable: bool = True
    user: str = "alice"
    error: str | None = None
    faults: dict[Endpoint, Fault] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    delay: float = 0
    issuer: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    issued: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.key = _signing_key()
        self.release = asyncio.Event()
        self._codes: dict[str, _Code] = {}
        self._families: dict[str, _Family] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeUpstream"]:
        """On a free loopback port; *issuer* is where."""
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        config = uvicorn.Config(
            self.app(), host="127.0.0.1", port=port, log_level="critical", lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        async with serving(uvicorn.Server(config)):
            try:
                yield self
            finally:
                self.release.set()

    def app(self) -> Starlette:
        def route(path: str, endpoint: Endpoint, handler: _Handler, method: str) -> Route:
            return Route(path, self._faulty(endpoint, handler), methods=[method])

        return Starlette(
            routes=[
                route("/.well-known/openid-configuration", "discovery", self._discovery, "GET"),
                route("/jwks", "jwks", self._jwks, "GET"),
                Route("/authorize", self._authorize),
                route("/token", "token", self._token, "POST"),
                route("/userinfo", "userinfo", self._userinfo, "GET"),
                route("/revoke", "revoke", self._revoke, "POST"),
            ]
        )

    def is_live(self, access_token: str) -> bool:
        """Whether the provider would still accept *access_token*."""
        return any(
            family.live and family.access_token == access_token
            for family in self._families.values()
        )

    def _faulty(self, endpoint: Endpoint, handler: "_Handler") -> "_Handler":
        async def wrapped(request: Request) -> Response:
            self.seen[endpoint] += 1
            if self.delay:
                await asyncio.sleep(self.delay)
            fault = self.faults.get(endpoint)
            return await handler(request) if fault is None else await self._fail(fault, request)

        return wrapped

    async def _fail(self, fault: Fault, request: Request) -> Response:
        match fault:
            case "hang":
                await self.release.wait()
                return Response(status_code=500)
            case "500" | "503" | "429":
                return Response("a stack trace", int(fault), headers={"retry-after": "7"})
            case "reset":
                await request.body()
                raise ConnectionResetError
            case "garbage":
                return Response(b"<html>\xff not json", media_type="application/json")
            case "array":
                return JSONResponse(["not", "an", "object"])
            case "huge":
                return JSONResponse({"access_token": "x" * _TOO_LARGE})
            case "redirect":
                return RedirectResponse("/elsewhere", 302)
            case "no_access_token":
                return JSONResponse({"token_type": "Bearer"})
            case _:
                return JSONResponse({"error": fault}, 401 if fault == "invalid_client" else 400)

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "revocation_endpoint": f"{self.issuer}/revoke",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        """Automatic approval: the user has a session here, so nobody asks anything."""
        query = request.query_params
        answer = {"state": query["state"], "iss": self.issuer}
        if self.error is not None:
            answer["error"] = self.error
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self._codes[answer["code"]] = _Code(
                query["code_challenge"], query["nonce"], query["redirect_uri"]
            )
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        fields = {name: str(value) for name, value in form.items()}
        if (fields.get("client_id"), fields.get("client_secret")) != (
            self.client_id,
            self.client_secret,
        ):
            return JSONResponse({"error": "invalid_client"}, 401)
        self.seen[fields["grant_type"]] += 1
        if fields["grant_type"] == "refresh_token":
            return self._refresh(fields["refresh_token"])
        return self._redeem(fields)

    def _redeem(self, fields: dict[str, str]) -> Response:
        code = self._codes.pop(fields["code"], None)
        if (
            code is None
            or code.redirect_uri != fields["redirect_uri"]
            or code.challenge != s256(fields["code_verifier"])
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._tokens(_Family("", ""), nonce=code.nonce)

    def _refresh(self, token: str) -> Response:
        family = self._families.get(token)
        if family is None or not family.live:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if family.refresh_token != token:
            family.live = False  # used twice: a thief or a clumsy client, and no telling which
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._tokens(family)

    def _tokens(self, family: _Family, nonce: str | None = None) -> Response:
        family.access_token = f"upstream-access-{secrets.token_urlsafe(12)}"
        self.issued.append(family.access_token)
        body: dict[str, Any] = {"access_token": family.access_token, "token_type": "bearer"}
        if self.lifetime is not None:
            body["expires_in"] = self.lifetime
        if self.refreshable:
            family.refresh_token = body["refresh_token"] = (
                f"upstream-refresh-{secrets.token_urlsafe(12)}"
            )
            self.issued.append(family.refresh_token)
        self._families[family.refresh_token or family.access_token] = family
        if nonce is not None:
            body["id_token"] = self._id_token(nonce)
        return JSONResponse(body)

    def _id_token(self, nonce: str) -> str:
        now = int(self.clock())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": self.user,
            "nonce": nonce,
            "iat": now,
            "exp": now + 600,
            "email": f"{self.user}@example.com",
            "email_verified": True,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.sign is not None:
            return self.sign(claims)
        header = {"alg": "RS256", "kid": self.key.kid}
        return jws.serialize_compact(header, json.dumps(claims).encode(), self.key)

    async def _userinfo(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.is_live(token):
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse({"sub": self.user, "email": f"{self.user}@example.com"})

    async def _revoke(self, request: Request) -> Response:
        token = str((await request.form())["token"])
        for family in self._families.values():
            if token in (family.refresh_token, family.access_token):
                family.live = False
        return Response()


@cache
def _signing_key() -> jwk.RSAKey:
    """One for all: making an RSA key takes longer than most tests."""
    return jwk.RSAKey.generate_key(2048, auto_kid=True)


_Handler = Callable[[Request], Awaitable[Response]]
