"""All that is checked of an authorization request, the same whether it is pushed or not."""

from collections.abc import Sequence

import msgspec

from mintage.clients.client import Client
from mintage.errors import InvalidRequest, RequestNotSupported, RequestUriNotSupported
from mintage.server.choosing import choices
from mintage.server.cookies import Cookies, PendingLogin
from mintage.server.remembering import MOST_NAMES
from mintage.server.requests import AuthorizationRequest, Pushed, parse_authorization
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.web.forms import Form


class AuthorizationChecks(msgspec.Struct, frozen=True, kw_only=True):
    """*remembers*: whether consents may be remembered. *only_pushed*: whether all clients push."""

    site: Site
    upstreams: Upstreams
    cookies: Cookies
    remembers: bool
    only_pushed: bool = False

    def check(
        self, form: Form, client: Client, redirect_uri: str, pushed: Pushed | None
    ) -> tuple[AuthorizationRequest, Sequence[RegisteredUpstream]]:
        """The request, and the providers to choose from. Raises `OAuthError`.

        Client and *redirect_uri* have been checked before. *pushed*: None for one that was not.
        """
        if form.get("request"):
            raise RequestNotSupported(
                "request objects are not read here; push the request, or send its parameters"
            )
        if form.get("request_uri"):
            raise RequestUriNotSupported(
                "request_uri must be one that the pushed authorization request endpoint gave"
            )
        if pushed is None and (self.only_pushed or client.pushes):
            raise InvalidRequest(
                "this request must be pushed: send it to the pushed_authorization_request_endpoint"
            )
        wanted = parse_authorization(form, client, redirect_uri, self.site, pushed)
        self._check_it_fits(wanted)
        return wanted, choices(self.upstreams, wanted, self.site)

    def _check_it_fits(self, wanted: AuthorizationRequest) -> None:
        """Refuse now what would not fit into the login cookie later."""
        self.cookies.seal_login(
            PendingLogin(
                request=wanted,
                state="-" * 43,
                nonce="-" * 43,
                code_verifier="-" * 43,
                expires_at=0,
                upstream="-" * 32,
                terms=bytes(32) if self.remembers else b"",
                remembered=(bytes(16),) * (MOST_NAMES if self.remembers else 0),
            )
        )
