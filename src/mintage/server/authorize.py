"""``/authorize``: checks the whole request, and then asks the user (RFC 6749 §3.1).

Until the user agrees, nothing is stored anywhere. The checked request is in the consent form,
encrypted.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.clients.client import Client
from mintage.clients.directory import Directory
from mintage.clients.redirects import display_host
from mintage.errors import InvalidRequest, MethodNotAllowed, OAuthError
from mintage.server.authorization_checks import AuthorizationChecks
from mintage.server.consent_form import ConsentForm, ConsentSeal
from mintage.server.consent_page import consent_values
from mintage.server.cookies import LOGIN_SECONDS, Cookies, copy_cookies, digest_of
from mintage.server.login_errors import PushedRequestExpired
from mintage.server.login_leg import pushed_name
from mintage.server.login_start import LoginStart
from mintage.server.pages import Pages
from mintage.server.pushed_requests import PREFIX, PushedSeal
from mintage.server.remembering import Remembering
from mintage.server.requests import (
    AuthorizationRequest,
    Pushed,
    redirect_uri_of,
    state_of,
)
from mintage.server.responses import error_redirect
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock, RandomBytes
from mintage.web.edge import (
    NO_STORE,
    empty_response,
    failure_of,
    log_refusal,
    read_form,
    read_query,
)
from mintage.web.forms import Form, one, optional

IsClaimed: TypeAlias = Callable[[bytes], Awaitable[bool]]
"""Whether a name was claimed, on whatever replica."""


class AuthorizeEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    site: Site
    directory: Directory
    checks: AuthorizationChecks
    pushed: PushedSeal
    is_claimed: IsClaimed
    cookies: Cookies
    seal: ConsentSeal
    remembering: Remembering
    start: LoginStart
    pages: Pages
    scope_texts: Mapping[str, str]
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, request: Request) -> Response:
        """The consent page; or a refusal, which a configured client gets at its own address.

        If the user let Mintage remember the consent, the browser goes to the provider at once.
        """
        match request.method:
            case "GET" | "HEAD":
                form = read_query(request)
            case "POST":
                form = await read_form(request)
            case _:
                raise MethodNotAllowed("use GET or POST", allow="GET, HEAD, POST")
        client = await self.directory.find(one(form, "client_id"))
        form, pushed = await self._pushed(form, client)
        redirect_uri = redirect_uri_of(form, client)
        try:
            wanted, offered = self.checks.check(form, client, redirect_uri, pushed)
            terms = self.remembering.terms(wanted, client, offered)
        except OAuthError as refusal:
            target = error_redirect(redirect_uri, state_of(form), refusal, issuer=self.site.issuer)
            if not client.vouched:
                return self._tell(request, refusal, redirect_uri, target)
            log_refusal(refusal, request)
            return RedirectResponse(target, status_code=303, headers=NO_STORE)
        known = self.remembering.known(request, wanted, offered, terms)
        if known is not None:
            return await self.start(
                request, wanted, known.upstream, terms=known.terms, remembered=known.names
            )
        return self._ask(request, wanted, client, offered, terms)

    async def _pushed(self, form: Form, client: Client) -> tuple[Form, Pushed | None]:
        """The parameters of the request: those that were pushed, and then no others (RFC 9126 §4).

        A client may send them in the address as well, where they count for nothing (RFC 9101 §5).
        """
        request_uri = optional(form, "request_uri")
        if request_uri is None or not request_uri.startswith(PREFIX):
            return form, None
        if form.get("request"):
            raise InvalidRequest("send request_uri without request")
        kept, pushed = self.pushed.open(
            request_uri, client_id=client.client_id, now=int(self.clock())
        )
        if await self.is_claimed(pushed_name(pushed)):
            raise PushedRequestExpired(
                "this request_uri was used before; push the request again",
                reason="request_uri reused",
            )
        return kept, pushed

    def _tell(
        self, request: Request, refusal: OAuthError, redirect_uri: str, target: str
    ) -> Response:
        """A page with a link to a client that the operator did not configure (RFC 9700 §4.11.2).

        Anyone can register an address and then send a request that is refused. A redirect would
        take a user from this server to that address without asking.
        """
        failure = failure_of(refusal, request, self.random_bytes, level=logging.WARNING)
        host = display_host(redirect_uri)
        return self.pages.error(request, failure, back=target, back_host=host, of_application=True)

    def _ask(
        self,
        request: Request,
        wanted: AuthorizationRequest,
        client: Client,
        offered: Sequence[RegisteredUpstream],
        terms: tuple[bytes, ...],
    ) -> Response:
        fresh = empty_response()
        browser = self.cookies.name_browser(request, fresh)
        sealed = self.seal.seal(
            ConsentForm(
                request=wanted,
                browser=digest_of(browser),
                expires_at=int(self.clock()) + LOGIN_SECONDS,
                upstreams=tuple(upstream.name for upstream in offered),
                terms=terms,
            )
        )
        response = self.pages.show(
            request,
            "consent",
            ui_locales=wanted.ui_locales,
            varying="sealed",
            action=f"{self.site.base_path}/consent",
            sealed=sealed,
            remember_days=self.remembering.days if terms else None,
            **consent_values(wanted, client, offered, self.site, self.scope_texts),
        )
        copy_cookies(fresh, response)
        return response
