"""The way to the identity provider, after a user has agreed."""

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from mintage.crypto.base64url import encode_text
from mintage.server.cookies import LOGIN_SECONDS, Cookies, PendingLogin
from mintage.server.pages import Pages
from mintage.server.requests import AuthorizationRequest
from mintage.site.site import Site
from mintage.upstream.protocol import LoginRequest
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock, RandomBytes


class LoginStart(msgspec.Struct, frozen=True, kw_only=True):
    """Puts a login into a cookie of this browser, and sends the browser to the provider.

    The provider sees nothing but a random state.
    """

    site: Site
    cookies: Cookies
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(
        self,
        request: Request,
        wanted: AuthorizationRequest,
        upstream: RegisteredUpstream,
        *,
        terms: bytes = b"",
        remembered: tuple[bytes, ...] = (),
    ) -> Response:
        """*terms* and *remembered*: see `PendingLogin`."""
        login = PendingLogin(
            request=replace(wanted, client_name=""),  # shown already: room for others
            state=self._random(),
            nonce=self._random(),
            code_verifier=self._random(),
            expires_at=int(self.clock()) + LOGIN_SECONDS,
            upstream=upstream.name,
            terms=terms,
            remembered=remembered,
        )
        url = await upstream.authorization_url(login_request(login, upstream, self.site))
        response = self.pages.onward(request, url, to=upstream.title, ui_locales=wanted.ui_locales)
        self.cookies.set_login(request, response, login)
        return response

    def _random(self) -> str:
        return encode_text(self.random_bytes(32))


def login_request(login: PendingLogin, upstream: RegisteredUpstream, site: Site) -> LoginRequest:
    """The login as it is requested from the provider."""
    wanted = login.request
    return LoginRequest(
        redirect_uri=site.issuer + upstream.callback,
        state=login.state,
        nonce=login.nonce,
        code_verifier=login.code_verifier,
        parameters=wanted.parameters,
        scopes=site.upstream_scopes_for(wanted.scopes, upstream.upstream.more_scopes),
        ui_locales=wanted.ui_locales,
    )
