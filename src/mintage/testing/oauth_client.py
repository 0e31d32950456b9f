"""An OAuth client for tests: it sends one request at a time, and you can change every parameter."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from mintage.grants.pkce import s256
from mintage.testing.browser import Browser, Page

REDIRECT_URI = "http://127.0.0.1:43117/callback"
"""Where the browser must stop (``Browser(stop_at=…)``): no server listens there."""


@dataclass(slots=True)
class AuthorizationAttempt:
    """One authorization request, and the secrets that belong to it.

    Args:
        url: The URL to open in a browser.
        state: Its ``state`` (RFC 6749 §10.12).
        verifier: Its ``code_verifier`` (RFC 7636 §4.1).
    """

    url: str
    state: str
    verifier: str


@dataclass(slots=True)
class OAuthClient:
    """A client of a server (RFC 6749). Call `register` first.

    Args:
        issuer: The server's issuer.
        http: What sends the requests.
        resource: The URL of the protected resource (RFC 8707).
        client_id: Its client id. `register` sets it.
        client_secret: Its client secret. `register` sets it if there is one.
        redirect_uri: Its redirect URI.
    """

    issuer: str
    http: httpx2.AsyncClient
    resource: str
    client_id: str = ""
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str = REDIRECT_URI

    async def register(self, **metadata: object) -> Self:
        """Register as a public client (RFC 7591 §3.1).

        Args:
            metadata: Client metadata, added to the defaults.

        Returns:
            The client itself.
        """
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
        """A new authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3).

        Args:
            parameters: Parameters that replace the usual ones. None removes one.

        Returns:
            The request. It is not sent.
        """
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
        """Log in through consent and the provider.

        Args:
            browser: The browser to do it in.
            parameters: As in `authorization`.

        Returns:
            The request, and the authorization code.
        """
        login = self.authorization(**parameters)
        landed = await approve(browser, login.url)
        return login, answer_of(landed)["code"]

    async def redeem(
        self, login: AuthorizationAttempt, code: str, **parameters: str | None
    ) -> httpx2.Response:
        """Send the token request for a code (RFC 6749 §4.1.3).

        Args:
            login: The authorization request of the code.
            code: The code.
            parameters: Parameters that replace the usual ones. None removes one.

        Returns:
            The response, whatever its status.
        """
        return await self.token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=login.verifier,
            **parameters,
        )

    async def refresh(self, refresh_token: str, **parameters: str | None) -> httpx2.Response:
        """Send the token request for new tokens (RFC 6749 §6).

        Args:
            refresh_token: The refresh token.
            parameters: Parameters that replace the usual ones. None removes one.

        Returns:
            The response, whatever its status.
        """
        return await self.token(
            grant_type="refresh_token", refresh_token=refresh_token, **parameters
        )

    async def revoke(self, token: str, **parameters: str | None) -> httpx2.Response:
        """Send a revocation request (RFC 7009 §2.1).

        Args:
            token: The token.
            parameters: Parameters that replace the usual ones. None removes one.

        Returns:
            The response, whatever its status.
        """
        return await self._post("/revoke", {"token": token} | parameters)

    async def token(self, **parameters: str | None) -> httpx2.Response:
        """Send a request to the token endpoint (RFC 6749 §3.2).

        Args:
            parameters: All parameters, besides those that identify the client.

        Returns:
            The response, whatever its status.
        """
        return await self._post("/token", parameters)

    async def tokens(self, browser: Browser, **parameters: str | None) -> dict[str, Any]:
        """Log in, and redeem the code.

        Args:
            browser: The browser to do it in.
            parameters: As in `authorization`.

        Returns:
            The token response (RFC 6749 §5.1).
        """
        login, code = await self.log_in(browser, **parameters)
        answer = await self.redeem(login, code)
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    async def call(self, access_token: str | None) -> httpx2.Response:
        """Send a GET to the protected resource (RFC 6750 §2.1).

        Args:
            access_token: The token. None: without one.

        Returns:
            The response, whatever its status.
        """
        headers = {} if access_token is None else {"authorization": f"Bearer {access_token}"}
        return await self.http.get(self.resource, headers=headers)

    async def _post(self, path: str, parameters: dict[str, Any]) -> httpx2.Response:
        form = {"client_id": self.client_id} | parameters
        if self.client_secret is not None:
            form.setdefault("client_secret", self.client_secret)
        sent = {name: value for name, value in form.items() if value is not None}
        return await self.http.post(f"{self.issuer}{path}", data=sent)


async def approve(browser: Browser, url: str) -> Page:
    """Open an authorization URL (RFC 6749 §4.1.1), approve the request, and follow the redirects.

    Args:
        browser: The browser to do it in.
        url: The URL.

    Returns:
        The page at the end.
    """
    page = await browser.open(url)
    return await browser.submit(page, {"decision": "approve"})


def answer_of(page: Page | str) -> dict[str, str]:
    """The parameters of an authorization response (RFC 6749 §4.1.2).

    Args:
        page: The page at the redirect URI, or its URL.

    Returns:
        The parameters by name.
    """
    url = page if isinstance(page, str) else page.url
    return dict(parse_qsl(urlsplit(url).query))
