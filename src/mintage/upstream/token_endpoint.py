"""Requests to the token endpoint, as the client that the provider knows (RFC 6749 §2.3, §3.2)."""

import secrets
from typing import Any

from mintage.grants.states import UpstreamTokens
from mintage.upstream import oauth2
from mintage.upstream.answers import believed, to_a_token_request
from mintage.upstream.authentication import ClientCredentials
from mintage.upstream.discovery import Metadata
from mintage.upstream.oauth2 import Asking
from mintage.upstream.preset import AuthMethod
from mintage.upstream.protocol import HttpRequest, HttpResponse, Transport
from mintage.upstream.revocation import revocation_request
from mintage.upstream.upstream import Upstream


class TokenEndpoint:
    """*transport* sends what is posted for *upstream*."""

    def __init__(self, upstream: Upstream, transport: Transport) -> None:
        self._upstream = upstream
        self._transport = transport
        self._authentication: tuple[Metadata, ClientCredentials] | None = None

    async def tokens(
        self,
        found: Metadata,
        form: dict[str, str],
        *,
        now: int,
        before: UpstreamTokens | None = None,
    ) -> tuple[UpstreamTokens, dict[str, Any]]:
        """(tokens, the whole answer) for *form* at the token endpoint."""
        response = await self.post(found, form, now=now)
        upstream, quirks = self._upstream, self._upstream.quirks
        asking = Asking(upstream.recheck_seconds, upstream.asks_without_refresh_token)
        body = believed(to_a_token_request(response, quirks))
        return oauth2.read_tokens(body, now=now, quirks=quirks, asking=asking, before=before)

    async def post(
        self, found: Metadata, form: dict[str, str], *, now: int, url: str | None = None
    ) -> HttpResponse:
        """The answer to *form*, with the client's credentials. *url*: None: the token endpoint."""
        credentials = self._credentials(found)
        request = credentials.post(
            url or found.token_endpoint,
            form,
            audience=found.token_endpoint,
            jti=_jti(credentials),
            now=now,
        )
        return await self._transport.send(request)

    def revocation(
        self, found: Metadata, tokens: UpstreamTokens, *, now: int
    ) -> HttpRequest | None:
        """The request that ends *tokens*; None if the provider takes none."""
        credentials = self._credentials(found)
        return revocation_request(
            self._upstream,
            found.revocation_endpoint,
            tokens,
            credentials=credentials,
            audience=found.token_endpoint,
            jti=_jti(credentials),
            now=now,
        )

    def _credentials(self, found: Metadata) -> ClientCredentials:
        if self._authentication is None or self._authentication[0] is not found:
            made = ClientCredentials(
                client_id=self._upstream.client_id,
                method=self._auth_method(found),
                secret=self._upstream.client_secret,
                key=self._upstream.client_key,
            )
            self._authentication = found, made
        return self._authentication[1]

    def _auth_method(self, found: Metadata) -> AuthMethod:
        """As the operator or the preset says; else what the credentials and discovery allow."""
        upstream, supported = self._upstream, found.token_endpoint_auth_methods_supported
        if upstream.auth_method is not None:
            return upstream.auth_method
        if upstream.client_secret is None:
            return "none" if upstream.client_key is None else "private_key_jwt"
        if self._upstream.quirks.auth_method is not None:
            return self._upstream.quirks.auth_method
        if "client_secret_basic" not in supported and "client_secret_post" in supported:
            return "client_secret_post"
        return "client_secret_basic"


def _jti(credentials: ClientCredentials) -> str:
    """A name that was never used before, if an assertion needs one."""
    return secrets.token_urlsafe(16) if credentials.signs else ""
