"""``/callback``: the user comes back from the identity provider.

Only the browser that approved the login can finish it, and only once. The login is claimed before
the upstream's code is redeemed, so that a page that is loaded twice, on any replicas, never redeems
it twice.
"""

import logging
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.errors import (
    AccessDenied,
    MethodNotAllowed,
    OAuthError,
    StoreError,
    TemporarilyUnavailable,
    UpstreamError,
    UpstreamMisconfigured,
)
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.logins import LoggedIn, LoginRefused
from mintage.grants.admission import AllowRule
from mintage.grants.handles import name_of_code
from mintage.grants.states import Consent, Identity, UpstreamTokens
from mintage.server.cookies import LOGIN_SECONDS, Cookies, PendingLogin
from mintage.server.done import Done
from mintage.server.login_errors import CookieMissing, LoginEnded
from mintage.server.login_leg import LoginLeg, TurnedAway, as_seen_here, name_of, reason_of
from mintage.server.login_start import login_request
from mintage.server.pages import Pages, with_headers_of
from mintage.server.pushed_requests import PushedSeal
from mintage.server.remembering import Remembering
from mintage.server.requests import AuthorizationRequest, parameters_of
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault
from mintage.web.edge import NO_STORE, ServerFault, failure_of, log_refusal, read_query
from mintage.web.forms import Form, one, optional


class CallbackEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    site: Site
    upstream: RegisteredUpstream
    vault: Vault
    cookies: Cookies
    remembering: Remembering
    pushed: PushedSeal
    revoker: UpstreamRevoker
    allow: Sequence[AllowRule]
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            raise MethodNotAllowed("use GET", allow="GET")
        form = read_query(request)
        state = one(form, "state")
        login = self.cookies.login(request, state, now=int(self.clock()))
        if login is None:
            raise self._stranger(request)
        try:
            response = await self._finish(request, form, login)
        except TurnedAway as refusal:
            self.revoker(refusal.tokens)
            self._emit_refused(login.request, "login", str(refusal), refusal.identity)
            response = self._turned_away(request, login.request, refusal)
        except (UpstreamError, StoreError) as error:
            self._emit_refused(login.request, "upstream", reason_of(error))
            failure = failure_of(
                as_seen_here(error), request, self.random_bytes, level=logging.WARNING
            )
            lasts = isinstance(error, UpstreamMisconfigured)
            again = None if lasts else self._again(login.request)
            response = self.pages.error(
                request, failure, retry=again, ui_locales=login.request.ui_locales
            )
        self.cookies.clear_login(response, state)
        return response

    def _stranger(self, request: Request) -> AccessDenied:
        """A page for a browser that did not begin this login: private windows lose cookies."""
        if not self.cookies.browsers(request):
            return CookieMissing(
                "this browser did not send back the cookie that the login began with; allow "
                "cookies for this site, or go back to the application and log in with your "
                "usual browser",
                reason="callback without any cookie of Mintage",
            )
        return LoginEnded(
            "this login was not begun in this browser, or more than ten minutes ago, or many "
            "others were begun after it; go back to the application and log in again",
            reason="callback without its login cookie",
        )

    async def _finish(self, request: Request, form: Form, login: PendingLogin) -> Response:
        await self._leg.claim(form, login, login.request.pushed)
        if (error := optional(form, "error")) is not None:
            return self._refused(request, error, login.request)
        now = int(self.clock())
        tokens, identity = await self._leg.identify(
            one(form, "code"), login_request(login, self.upstream, self.site), now=now
        )
        if not await self.remembering.agreed(login, identity):
            return self._ask_after_all(request, login)
        code = await self._create(login.request, tokens, identity, now)
        response = self._done.logged_in(request, login.request, code)
        await self.remembering.keep(request, response, login, identity)
        return response

    def _ask_after_all(self, request: Request, login: PendingLogin) -> Response:
        """The page that this browser left out: another user logged in, or the consent is gone.

        Nothing is issued. The provider's tokens are forgotten, and not revoked, because many
        providers would then end the user's other logins through Mintage too (RFC 7009 §2.1).
        """
        headers = NO_STORE | {"referrer-policy": "no-referrer"}
        response = RedirectResponse(self._again(login.request), status_code=303, headers=headers)
        self.remembering.forget_here(request, response, login.remembered)
        return response

    async def _create(
        self, wanted: AuthorizationRequest, tokens: UpstreamTokens, identity: Identity, now: int
    ) -> str:
        code = await self.vault.create(
            Consent(
                client_id=wanted.client_id,
                resource=wanted.resource,
                more_resources=wanted.more_resources,
                left_out=wanted.left_out,
                scopes=wanted.scopes,
                identity=identity,
                created_at=now,
            ),
            tokens,
            code_challenge=wanted.code_challenge,
            redirect_uri=wanted.redirect_uri,
            jkt=wanted.dpop_jkt,
        )
        party = replace(self._party(wanted, identity), grant=name_of_code(code))
        self.emit(LoggedIn(party=party, scopes=wanted.scopes))
        return code

    def _party(self, wanted: AuthorizationRequest, who: Identity | None) -> Party:
        return Party(
            subject=None if who is None else Subject(who.issuer, who.subject),
            client_id=wanted.client_id,
            resource=wanted.resource,
            provider=self.upstream.name,
        )

    def _emit_refused(
        self, wanted: AuthorizationRequest, stage: str, reason: str, who: Identity | None = None
    ) -> None:
        self.emit(LoginRefused(party=self._party(wanted, who), stage=stage, reason=reason))

    def _turned_away(
        self, request: Request, wanted: AuthorizationRequest, refused: TurnedAway
    ) -> Response:
        """A page, because only the user can do something about it; it links to the client."""
        told = AccessDenied(
            "this user may not log in here; ask the operator of this server", reason=str(refused)
        )
        failure = failure_of(told, request, self.random_bytes, level=logging.WARNING)
        other_account = replace(wanted.parameters, prompt="select_account", login_hint=None)
        response = self.pages.show(
            request,
            "refused",
            status=told.status,
            ui_locales=wanted.ui_locales,
            provider=self.upstream.title,
            user=name_of(refused.identity),
            another=self._again(replace(wanted, parameters=other_account)),
            back=self._done.refusal_url(wanted, told),
            advice=told.advice,
            reference=failure.reference,
        )
        return with_headers_of(failure, response)

    @property
    def _leg(self) -> LoginLeg:
        return LoginLeg(self.upstream, self.vault, self.allow)

    @property
    def _done(self) -> Done:
        return Done(self.pages, self.site.issuer)

    def _refused(self, request: Request, error: str, wanted: AuthorizationRequest) -> Response:
        """Mintage's error for the upstream's. The upstream's text is not passed on."""
        refusal: OAuthError
        match error:
            case "access_denied" | "login_required" | "consent_required" | "interaction_required":
                refusal = AccessDenied(
                    "the user did not log in at the identity provider; log in again to retry"
                )
            case "temporarily_unavailable":
                refusal = TemporarilyUnavailable(
                    "the identity provider is not available; try again shortly", stage="upstream"
                )
            case _:
                refusal = ServerFault(
                    "the identity provider refused the login: ask the operator of this server why",
                    stage="upstream",
                )
        log_refusal(refusal, request)
        self._emit_refused(wanted, "upstream", f"the provider answered {refusal.code}")
        return self._done.failed(request, wanted, refusal, self.upstream.title)

    def _again(self, wanted: AuthorizationRequest) -> str:
        """The same request once more: the client still waits for its response."""
        form = parameters_of(wanted)
        if wanted.pushed is not None:
            # That one is used up, and no code came of it: it is pushed once more.
            until = int(self.clock()) + LOGIN_SECONDS
            uri = self.pushed.seal(form, client_id=wanted.client_id, expires_at=until)
            form = {"request_uri": (uri,)}
        query = {"client_id": (wanted.client_id,), **form}
        return f"{self.site.base_path}/authorize?{urlencode(query, doseq=True)}"
