"""``/consent``: the user's decision (MCP security best practices, "confused deputy").

Only when the user approves, the login moves into a cookie of this browser. Then the browser goes to
the identity provider with nothing but a random state.
"""

import logging

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import AccessDenied, InvalidRequest, UpstreamUnavailable
from mintage.events.event import Emit, Party, ignore
from mintage.events.logins import ConsentDenied, ConsentGiven
from mintage.server.consent_form import ConsentForm, ConsentSeal
from mintage.server.cookies import Cookies
from mintage.server.done import Done
from mintage.server.login_errors import CookieMissing, PageExpired
from mintage.server.login_start import LoginStart
from mintage.server.pages import Pages
from mintage.server.same_site import refuse_other_sites
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import Clock, RandomBytes
from mintage.web.edge import failure_of, log_refusal, read_form
from mintage.web.forms import Form, one, optional


class ConsentEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    site: Site
    upstreams: Upstreams
    cookies: Cookies
    seal: ConsentSeal
    start: LoginStart
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        form = await read_form(request)
        refuse_other_sites(request, stage="consent")
        consent = self.seal.open(one(form, "request"))
        self._check_browser(request, consent)
        if int(self.clock()) >= consent.expires_at:
            raise PageExpired(
                "this page was open for too long; go back to the application and log in again"
            )
        upstream = optional(form, "upstream")
        # Where there is a choice, the button of a provider means yes, and nothing else is sent.
        match optional(form, "decision") or ("approve" if upstream else one(form, "decision")):
            case "approve":
                chosen = self._chosen(upstream, consent)
                terms = self._terms(form, consent, chosen.name)
                try:
                    response = await self.start(request, consent.request, chosen, terms=terms)
                except UpstreamUnavailable as outage:
                    return self._unavailable(request, form, consent, outage)
                party = _party(consent, chosen.name)
                self.emit(ConsentGiven(party=party, scopes=consent.request.scopes))
                return response
            case "deny":
                return self._deny(request, consent)
            case _:
                raise InvalidRequest("decision must be approve or deny")

    def _chosen(self, name: str | None, consent: ConsentForm) -> RegisteredUpstream:
        """The provider that the user chose from those on the page."""
        if name is None and len(consent.upstreams) == 1:
            name = consent.upstreams[0]
        chosen = self.upstreams.find(name or "")
        if chosen is None or name not in consent.upstreams:
            raise InvalidRequest("upstream must be one of those on the page")
        return chosen

    def _terms(self, form: Form, consent: ConsentForm, upstream: str) -> bytes:
        """What is to be remembered, if the page offered that and the user wants it."""
        if optional(form, "remember") != "yes" or not consent.terms:
            return b""
        return consent.terms[consent.upstreams.index(upstream)]

    def _unavailable(
        self, request: Request, form: Form, consent: ConsentForm, outage: UpstreamUnavailable
    ) -> Response:
        """The provider can't be asked where it logs users in: the same answer, sent once more."""
        failure = failure_of(outage, request, self.random_bytes, level=logging.WARNING)
        return self.pages.error(
            request, failure, repeat=form, ui_locales=consent.request.ui_locales
        )

    def _deny(self, request: Request, consent: ConsentForm) -> Response:
        refusal = AccessDenied(
            "the user did not agree; log in again to ask once more", stage="consent"
        )
        log_refusal(refusal, request)
        self.emit(ConsentDenied(party=_party(consent)))
        return Done(self.pages, self.site.issuer).denied(request, consent.request, refusal)

    def _check_browser(self, request: Request, consent: ConsentForm) -> None:
        """The form must come from the browser that it was shown in."""
        if not self.cookies.is_from(request, consent.browser):
            raise CookieMissing(
                "this browser did not send back the cookie that the page came with; allow "
                "cookies for this site, or open the login in your usual browser",
                reason="consent form without its browser's cookie",
                stage="consent",
            )


def _party(consent: ConsentForm, provider: str | None = None) -> Party:
    wanted = consent.request
    return Party(client_id=wanted.client_id, resource=wanted.resource, provider=provider)
