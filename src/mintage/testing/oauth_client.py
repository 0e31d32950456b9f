"""An OAuth client that shows its hands: each request on its own, every part adjustable."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from mintage.grants.pkce import s256
from mintage.testing.browser import Browser, Page

REDIRECT_URI = "http://127.0.0.1:43117/callback"  # nobody listens: the browser stops there


@dataclass(slots=True)
class AuthorizationAttempt:
    """One authorization request and the secrets that belong to it."""

    url: str
    state: str
    verifier: str


@dataclass(slots=True)
class OAuthClient:
    """A client of the server at *issuer*. Register it first (`register`)."""

    issuer: str
    http: httpx2.AsyncClient
    resource: str
    client_id: str = ""
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str = REDIRECT_URI

    async def register(self, **metadata: object) -> Self:
        """Register with *metadata* over the defaults of a public client (RFC 7591)."""
        body = {
            "client_name": "A test client",
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        } | metadata
        answer = await self.http.post(f"{self.issuer}/register", json=body)
        registered = answer.raise_for_status().json()
        self.client_id = registered["client_id"]
        self.client_secret = registered.get("client_secret")
        return self

    def authorization(self, **parameters: str | None) -> AuthorizationAttempt:
        """A new authorization request; *parameters* replace its own, None leaves one out."""
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        query: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": state,
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        sent = {name: value for name, value in (query | parameters).items() if value is not None}
        return AuthorizationAttempt(f"{self.issuer}/authorize?{urlencode(sent)}", state, verifier)

    async def log_in(
        self, browser: Browser, **parameters: str | None
    ) -> tuple[AuthorizationAttempt, str]:
        """The whole way through consent and the provider; (login, authorization code)."""
        login = self.authorization(**parameters)
        landed = await approve(browser, login.url)
        return login, answer_of(landed)["code"]

    async def redeem(
        self, login: AuthorizationAttempt, code: str, **parameters: str | None
    ) -> httpx2.Response:
        """The token request for *code* (RFC 6749 §4.1.3)."""
        return await self.token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=login.verifier,
            **parameters,
        )

    async def refresh(self, refresh_token: str, **parameters: str | None) -> httpx2.Response:
        """The token request for new tokens (RFC 6749 §6)."""
        return await self.token(
            grant_type="refresh_token", refresh_token=refresh_token, **parameters
        )

    async def revoke(self, token: str, **parameters: str | None) -> httpx2.Response:
        """The revocation request (RFC 7009 §2.1)."""
        return await self._post("/revoke", {"token": token} | parameters)

    async def token(self, **parameters: str | None) -> httpx2.Response:
        return await self._post("/token", parameters)

    async def tokens(self, browser: Browser, **parameters: str | None) -> dict[str, Any]:
        """Log in and redeem: the token response."""
        login, code = await self.log_in(browser, **parameters)
        answer = await self.redeem(login, code)
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    async def call(self, access_token: str | None) -> httpx2.Response:
        """A request to the protected resource."""
        headers = {} if access_token is None else {"authorization": f"Bearer {access_token}"}
        return await self.http.get(self.resource, headers=headers)

    async def _post(self, path: str, parameters: dict[str, Any]) -> httpx2.Response:
        form = {"client_id": self.client_id} | parameters
        if self.client_secret is not None:
            form.setdefault("client_secret", self.client_secret)
        sent = {name: value for name, value in form.items() if value is not None}
        return await self.http.post(f"{self.issuer}{path}", data=sent)


async def approve(browser: Browser, url: str) -> Page:
    """Open an authorization URL, allow it, and go where that leads."""
    page = await browser.open(url)
    return await browser.submit(page, {"decision": "approve"})


def answer_of(page: Page | str) -> dict[str, str]:
    """The parameters of an authorization response."""
    url = page if isinstance(page, str) else page.url
    return dict(parse_qsl(urlsplit(url).query))
