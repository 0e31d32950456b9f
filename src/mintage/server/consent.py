"""``/consent``: the user's decision (MCP security best practices, "confused deputy").

Only when the user approves, the login moves into a cookie of this browser. Then the browser goes to
the identity provider with nothing but a random state.
"""

from dataclasses import dataclass

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from mintage.crypto.base64url import encode_text
from mintage.errors import AccessDenied, InvalidRequest
from mintage.events.event import Emit, Party, ignore
from mintage.events.logins import ConsentDenied, ConsentGiven
from mintage.server.consent_form import ConsentForm, ConsentSeal
from mintage.server.cookies import LOGIN_SECONDS, Cookies, PendingLogin
from mintage.server.done import Done
from mintage.server.login_errors import CookieMissing, PageExpired
from mintage.server.pages import Pages
from mintage.server.same_site import refuse_other_sites
from mintage.site.site import Site
from mintage.upstream.protocol import LoginRequest
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import Clock, RandomBytes
from mintage.web.edge import log_refusal, read_form
from mintage.web.forms import one, optional


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEndpoint:
    site: Site
    upstreams: Upstreams
    cookies: Cookies
    seal: ConsentSeal
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
                return await self._approve(request, consent, self._chosen(upstream, consent))
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

    async def _approve(
        self, request: Request, consent: ConsentForm, upstream: RegisteredUpstream
    ) -> Response:
        login = PendingLogin(
            request=replace(consent.request, client_name=""),  # shown already: room for others
            state=self._random(),
            nonce=self._random(),
            code_verifier=self._random(),
            expires_at=int(self.clock()) + LOGIN_SECONDS,
            upstream=upstream.name,
        )
        url = await upstream.authorization_url(login_request(login, upstream, self.site))
        response = self.pages.onward(
            request, url, to=upstream.title, ui_locales=consent.request.ui_locales
        )
        self.cookies.set_login(request, response, login)
        party = _party(consent, upstream.name)
        self.emit(ConsentGiven(party=party, scopes=consent.request.scopes))
        return response

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

    def _random(self) -> str:
        return encode_text(self.random_bytes(32))


def _party(consent: ConsentForm, provider: str | None = None) -> Party:
    wanted = consent.request
    return Party(client_id=wanted.client_id, resource=wanted.resource, provider=provider)


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
    )
