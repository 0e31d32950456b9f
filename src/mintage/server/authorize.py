"""``/authorize``: checks the whole request, and then asks the user (RFC 6749 §3.1).

Until the user agrees, nothing is stored anywhere. The checked request is in the consent form,
encrypted.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.clients.client import Client
from mintage.clients.directory import Directory
from mintage.clients.redirects import display_host
from mintage.errors import MethodNotAllowed, OAuthError
from mintage.server.choosing import choices
from mintage.server.consent_form import ConsentForm, ConsentSeal
from mintage.server.consent_page import consent_values
from mintage.server.cookies import LOGIN_SECONDS, Cookies, PendingLogin, digest_of
from mintage.server.login_start import LoginStart
from mintage.server.pages import Pages
from mintage.server.remembering import MOST_NAMES, Remembering
from mintage.server.requests import (
    AuthorizationRequest,
    parse_authorization,
    redirect_uri_of,
    state_of,
)
from mintage.server.responses import error_redirect
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import Clock, RandomBytes
from mintage.web.edge import NO_STORE, failure_of, log_refusal, read_form, read_query
from mintage.web.forms import one


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizeEndpoint:
    site: Site
    directory: Directory
    cookies: Cookies
    seal: ConsentSeal
    remembering: Remembering
    start: LoginStart
    upstreams: Upstreams
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
        redirect_uri = redirect_uri_of(form, client)
        try:
            wanted = parse_authorization(form, client, redirect_uri, self.site)
            self._check_it_fits(wanted)
            offered = choices(self.upstreams, wanted, self.site)
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
        fresh = Response()
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
            action=f"{self.site.base_path}/consent",
            sealed=sealed,
            remember_days=self.remembering.days if terms else None,
            **consent_values(wanted, client, offered, self.site, self.scope_texts),
        )
        response.raw_headers.extend(h for h in fresh.raw_headers if h[0] == b"set-cookie")
        return response

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
                terms=bytes(32) if self.remembering.seconds else b"",
                remembered=(bytes(16),) * (MOST_NAMES if self.remembering.seconds else 0),
            )
        )
