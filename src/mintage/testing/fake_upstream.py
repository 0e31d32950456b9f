"""An OpenID provider for tests, which answers and fails as the test chooses.

It logs its one user in without showing a page. Mintage's consent page is there because real
providers may do that. It checks PKCE and rotates refresh tokens, and it ends the whole login when
an old refresh token comes again, as strict providers do.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from typing import Any, Literal
from urllib.parse import urlencode

import uvicorn
from joserfc import jwk, jws
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mintage.testing._fake_clients import Assertions, has_basic, has_post
from mintage.testing._fake_exchanges import ID_JAG, exchanged, id_jag, id_jag_claims, user_of
from mintage.testing._fake_faults import fail
from mintage.testing._fake_logins import Family, Logins
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from mintage.values import Clock

Fault = Literal[
    "hang", "500", "503", "429", "reset", "garbage", "array", "huge", "redirect",
    "invalid_grant", "invalid_client", "temporarily_unavailable", "no_access_token",
]  # fmt: skip
"""What an endpoint does instead of its work: a status, an OAuth error, or no proper answer."""

Endpoint = Literal[
    "discovery", "jwks", "token", "userinfo", "revoke", "introspect", "documents"
]  # fmt: skip
"""Where a fault can be."""

AuthMethod = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
"""How a client authenticates (RFC 7591 §2)."""

Answer = tuple[int, dict[str, Any]]
"""The status and the JSON of a response."""


@dataclass
class FakeUpstream:
    """A provider (OpenID Connect Core, RFC 6749). Change its attributes while it runs.

    Set *release* (an ``asyncio.Event``) to end every request that hangs.

    Args:
        clock: Called for the time, in seconds since the epoch.
        client_id: The one client that it knows: Mintage.
        client_secret: That client's secret.
        lifetime: ``expires_in`` of its access tokens, in seconds. None: the answer has none.
        refreshable: Whether it issues refresh tokens.
        user: The ``sub`` of its one user.
        error: An OAuth error with which it answers every authorization request.
        faults: What goes wrong at which endpoint, until you remove the entry.
        claims: Claims that replace those of each id_token. None as a value removes a claim.
        sign: Makes the id_token from its claims, instead of the provider's own key.
        delay: Seconds that every endpoint waits before it answers.
        auth_method: The only client authentication that it accepts.
        client_key: Mintage's public key, for ``private_key_jwt`` (RFC 7523).
        refuses: Parameters that make it refuse a request. It ignores other unknown ones.
        rotates: Whether a refresh gives a new refresh token.
        renews_id_tokens: Whether a refresh gives a new id_token.
        shape: Changes the JSON of a token answer.
        form_answers: Whether token answers are form-encoded, not JSON.
        errors: By an OAuth error code, the status and body that are sent in its place.
        metadata: Members that are added to the discovery document.
        profile: Members that are added to userinfo.
        documents: By path, what a valid access token can read there.
        exchanges: The audiences for which it exchanges tokens (RFC 8693).
        id_jags: The issuers of the authorization servers for which it issues ID-JAGs, each with
            Mintage's client id there (draft-ietf-oauth-identity-assertion-authz-grant §4.3).
        url: Its address. `running` sets it.
        issuer: Its issuer. Empty: *url*.
        queries: The parameters of each authorization request that came.
        forms: The parameters of each token request that came.
        seen: How often each endpoint and each grant type was requested.
        issued: Every access token and refresh token that it issued.
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
    auth_method: AuthMethod = "client_secret_post"
    client_key: jwk.Key | None = field(default=None, repr=False)
    refuses: frozenset[str] = frozenset()
    rotates: bool = True
    renews_id_tokens: bool = False
    shape: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    form_answers: bool = False
    errors: dict[str, Answer] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    exchanges: frozenset[str] = frozenset()
    id_jags: dict[str, str] = field(default_factory=dict)
    url: str = ""
    issuer: str = ""
    queries: list[dict[str, str]] = field(default_factory=list, repr=False)
    forms: list[dict[str, str]] = field(default_factory=list, repr=False)
    seen: Counter[str] = field(default_factory=Counter)
    issued: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.key = _signing_key()
        self.release = asyncio.Event()
        self._logins = Logins(self.issued)
        self._assertions = Assertions()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeUpstream"]:
        """Serve the provider on a free loopback port for as long as the block lasts.

        Returns:
            An asynchronous context manager that gives the provider.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.issuer = self.issuer or self.url
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
        """The provider as an application, for tests that need no socket.

        Returns:
            The application.
        """

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
                route("/revoke/own", "revoke", self._revoke_own, "GET"),
                route("/revoke/{client_id}", "revoke", self._delete, "DELETE"),
                route("/introspect", "introspect", self._introspect, "POST"),
                route("/{path:path}", "documents", self._document, "GET"),
            ]
        )

    def is_live(self, access_token: str) -> bool:
        """Whether the provider still accepts an access token.

        Args:
            access_token: The token.

        Returns:
            True for the newest one of a login that has not ended.
        """
        return self._logins.is_live(access_token)

    def end_all(self) -> None:
        """End every login, so that no token of theirs is accepted any more."""
        self._logins.end_all()

    def _faulty(self, endpoint: Endpoint, handler: "_Handler") -> "_Handler":
        async def wrapped(request: Request) -> Response:
            self.seen[endpoint] += 1
            if self.delay:
                await asyncio.sleep(self.delay)
            fault = self.faults.get(endpoint)
            answer = await (handler(request) if fault is None else self._fail(fault, request))
            answer.headers["date"] = formatdate(self.clock(), usegmt=True)
            return answer

        return wrapped

    async def _fail(self, fault: Fault, request: Request) -> Response:
        return await fail(fault, request, self.release) or self._error(fault)

    def _error(self, error: str) -> Response:
        """An OAuth error, in this provider's own way."""
        plain: Answer = (
            401 if error in ("invalid_client", "invalid_token") else 400,
            {"error": error},
        )
        status, body = self.errors.get(error, plain)
        return JSONResponse(body, status)

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "revocation_endpoint": f"{self.url}/revoke",
                "token_endpoint_auth_methods_supported": [self.auth_method],
                "authorization_response_iss_parameter_supported": True,
            }
            | self.metadata
        )

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        """Automatic approval: the user has a session, so no page is shown."""
        query = dict(request.query_params)
        self.queries.append(query)
        answer = {"state": query["state"], "iss": self.issuer}
        if not self.refuses.isdisjoint(query):
            answer["error"] = "invalid_request"
        elif self.error is not None:
            answer["error"] = self.error
        else:
            answer["code"] = self._logins.begin(query)
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        fields = await _fields(request)
        self.forms.append(fields)
        if not self._knows(request, fields):
            return self._error("invalid_client")
        if not self.refuses.isdisjoint(fields):
            return self._error("invalid_request")
        self.seen[fields["grant_type"]] += 1
        if fields["grant_type"] == "refresh_token":
            return self._refresh(fields["refresh_token"])
        if fields["grant_type"].endswith(":token-exchange"):
            return self._exchange(fields)
        return self._redeem(fields)

    def _knows(self, request: Request, fields: dict[str, str]) -> bool:
        """Whether the client authenticated in the one way that is accepted."""
        header = request.headers.get("authorization", "")
        match self.auth_method:
            case "client_secret_basic":
                return has_basic(header, fields, self.client_id, self.client_secret)
            case "client_secret_post":
                return has_post(header, fields, self.client_id, self.client_secret)
            case "private_key_jwt":
                assert self.client_key is not None
                return self._assertions.accepts(
                    fields.get("client_assertion", ""),
                    self.client_key,
                    client_id=self.client_id,
                    audience=f"{self.url}/token",
                    now=self.clock(),
                )
            case "none":
                return not header and fields.get("client_id") == self.client_id

    def _redeem(self, fields: dict[str, str]) -> Response:
        code = self._logins.redeem(fields)
        if code is None:
            return self._error("invalid_grant")
        return self._tokens(Family(), nonce=code.nonce)

    def _exchange(self, fields: dict[str, str]) -> Response:
        """RFC 8693, for the audiences in *exchanges*, and ID-JAGs for those in *id_jags*."""
        if fields.get("requested_token_type") == ID_JAG:
            return self._id_jag(fields)
        if not self.is_live(fields["subject_token"]):
            return self._error("invalid_request")
        if fields.get("audience") not in self.exchanges:
            return self._error("invalid_target")
        return JSONResponse(exchanged(fields["audience"]))

    def _id_jag(self, fields: dict[str, str]) -> Response:
        """A grant for another authorization server, for a user who is logged in here."""
        token, kind = fields["subject_token"], fields["subject_token_type"]
        user = user_of(token, kind, self.key, client_id=self.client_id, now=self.clock())
        if self._logins.is_refresh_token(token, kind):
            user = self.user
        if user is None:
            return self._error("invalid_request")
        client_id = self.id_jags.get(fields.get("audience", ""))
        if client_id is None:
            return self._error("invalid_target")
        made = id_jag_claims(self.issuer, user, client_id, fields, now=int(self.clock()))
        return JSONResponse(id_jag(made, self.key))

    def _refresh(self, token: str) -> Response:
        family = self._logins.refresh(token)
        if family is None:
            return self._error("invalid_grant")
        return self._tokens(family, "" if self.renews_id_tokens else None)

    def _tokens(self, family: Family, nonce: str | None = None) -> Response:
        rotated = self._logins.renew(family, refreshable=self.refreshable, rotates=self.rotates)
        body: dict[str, Any] = {"access_token": family.access_token, "token_type": "bearer"}
        if self.lifetime is not None:
            body["expires_in"] = self.lifetime
        if rotated:
            body["refresh_token"] = family.refresh_token
        if nonce is not None:  # empty: that of a refresh, which has none
            body["id_token"] = self._id_token(nonce)
        if self.shape is not None:
            body = self.shape(body)
        if self.form_answers:
            return Response(urlencode(body), media_type="application/x-www-form-urlencoded")
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
        claims = {name: value for name, value in claims.items() if value not in (None, "")}
        if self.sign is not None:
            return self.sign(claims)
        header = {"alg": "RS256", "kid": self.key.kid}
        return jws.serialize_compact(header, json.dumps(claims).encode(), self.key)

    async def _userinfo(self, request: Request) -> Response:
        if not self.is_live(_bearer(request)):
            return self._error("invalid_token")
        return JSONResponse({"sub": self.user, "email": f"{self.user}@example.com"} | self.profile)

    async def _document(self, request: Request) -> Response:
        """The document at this path, for anyone with a valid token."""
        if not self.is_live(_bearer(request)):
            return self._error("invalid_token")
        found = self.documents.get(request.url.path)
        if found is None:
            return JSONResponse({"message": "Not Found"}, 404)
        size = int(request.query_params.get("per_page", 0))
        if isinstance(found, list) and size:
            start = (int(request.query_params["page"]) - 1) * size
            found = found[start : start + size]
        return JSONResponse(found)

    async def _introspect(self, request: Request) -> Response:
        fields = await _fields(request)
        if not self._knows(request, fields):
            return self._error("invalid_client")
        return JSONResponse({"active": self.is_live(fields["token"])})

    async def _revoke(self, request: Request) -> Response:
        """RFC 7009."""
        fields = await _fields(request)
        if not self._knows(request, fields):
            return self._error("invalid_client")
        self._logins.end(fields["token"])
        return Response()

    async def _revoke_own(self, request: Request) -> Response:
        """A token revokes itself."""
        if not self._logins.end(_bearer(request)):
            return self._error("invalid_token")
        return JSONResponse({"ok": True, "revoked": True})

    async def _delete(self, request: Request) -> Response:
        """As GitHub does it: the client's id in the path and in Basic, the token as JSON."""
        header = request.headers["authorization"].removeprefix("Basic ")
        known = base64.b64decode(header).decode() == f"{self.client_id}:{self.client_secret}"
        if not known or request.path_params["client_id"] != self.client_id:
            return JSONResponse({"message": "Bad credentials"}, 401)
        ended = self._logins.end((await request.json())["access_token"])
        return Response(status_code=204 if ended else 404)


async def _fields(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


def _bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


@cache
def _signing_key() -> jwk.RSAKey:
    """One for all: creating an RSA key takes longer than most tests."""
    return jwk.RSAKey.generate_key(2048, auto_kid=True)


_Handler = Callable[[Request], Awaitable[Response]]
