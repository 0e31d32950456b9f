"""The last page of a login, from which the browser returns to the client."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.known import known_client
from mintage.clients.redirects import display_host, is_web_page
from mintage.errors import AccessDenied, OAuthError
from mintage.server.pages import Pages
from mintage.server.requests import AuthorizationRequest
from mintage.server.responses import code_redirect, error_redirect
from mintage.web.edge import NO_STORE, see_other

_NO_TRACE: Final = {**NO_STORE, "referrer-policy": "no-referrer"}


class Done(msgspec.Struct, frozen=True):
    """Sends the browser to a client's redirect URI with the authorization response.

    A web page replaces the page that the browser shows. A program does not: the browser would keep
    showing the identity provider's form. So it gets a page that says how the login ended.
    """

    pages: Pages
    issuer: str

    def logged_in(self, request: Request, wanted: AuthorizationRequest, code: str) -> Response:
        """The response with *code* (RFC 6749 §4.1.2)."""
        url = code_redirect(wanted, code, issuer=self.issuer)
        if is_web_page(wanted.redirect_uri):
            return _redirect(url)
        return self._page(request, wanted, url, title="done.title")

    def denied(
        self, request: Request, wanted: AuthorizationRequest, refusal: OAuthError
    ) -> Response:
        """The response with *refusal*, after the person denied access on the consent page.

        Always a page: the policy of the form that was sent allows no redirect to another site.
        """
        url = self.refusal_url(wanted, refusal)
        return self._page(request, wanted, url, title="done.denied_title", text="done.denied")

    def failed(
        self, request: Request, wanted: AuthorizationRequest, refusal: OAuthError, provider: str
    ) -> Response:
        """The response with *refusal*, after the login ended at *provider*."""
        url = self.refusal_url(wanted, refusal)
        if is_web_page(wanted.redirect_uri):
            return _redirect(url)
        how = "stopped" if isinstance(refusal, AccessDenied) else "failed"
        title, text = f"done.{how}_title", f"done.{how}"
        return self._page(request, wanted, url, title=title, text=text, provider=provider)

    def refusal_url(self, wanted: AuthorizationRequest, refusal: OAuthError) -> str:
        """Where the client waits for *refusal* (RFC 6749 §4.1.2.1)."""
        return error_redirect(wanted.redirect_uri, wanted.state, refusal, issuer=self.issuer)

    def _page(
        self,
        request: Request,
        wanted: AuthorizationRequest,
        url: str,
        *,
        title: str,
        text: str | None = None,
        provider: str = "",
    ) -> Response:
        app = known_client(wanted.redirect_uri)
        if app is None and is_web_page(wanted.redirect_uri):
            app = display_host(wanted.redirect_uri)
        return self.pages.show(
            request,
            "done",
            ui_locales=wanted.ui_locales,
            varying="url",
            url=url,
            app=app,
            title=title,
            text=text,
            provider=provider,
        )


def _redirect(url: str) -> Response:
    return see_other(url, headers=_NO_TRACE)
