"""The way back from the provider to ``/account``, on the same redirect URI as all logins."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.errors import AccessDenied, OAuthError, StoreError, UpstreamError
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.logins import LoggedIn, LoginRefused
from mintage.grants.admission import AllowRule
from mintage.grants.states import Identity
from mintage.server.account import account_login, account_path
from mintage.server.account_session import (
    SESSION_ID_BYTES,
    SESSION_SECONDS,
    AccountCookies,
    AccountLogin,
    AccountSession,
)
from mintage.server.login_errors import LoginFinished, LoginNotAccepted
from mintage.server.login_leg import LoginLeg, TurnedAway, as_seen_here, name_of, reason_of
from mintage.server.pages import Pages, with_headers_of
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault
from mintage.web.edge import NO_STORE, Handler, failure_of, read_query
from mintage.web.forms import Form, one, optional

_MAX_NAME: Final = 200  # the cookie holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCallback:
    """Answers the callbacks of logins that began at ``/account``; *otherwise* gets all others.

    The provider's tokens are not kept: the page needs none. They are not revoked either, because
    many providers would then end the user's other logins through Mintage too (RFC 7009 §2.1).
    """

    otherwise: Handler
    site: Site
    upstream: RegisteredUpstream
    vault: Vault
    cookies: AccountCookies
    allow: Sequence[AllowRule]
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            return await self.otherwise(request)
        form = read_query(request)
        login = self.cookies.login(request, one(form, "state"), now=int(self.clock()))
        if login is None:
            return await self.otherwise(request)
        response = await self._answer(request, form, login)
        self.cookies.clear_login(response)
        return response

    async def _answer(self, request: Request, form: Form, login: AccountLogin) -> Response:
        try:
            return await self._finish(form, login)
        except TurnedAway as refusal:
            self._emit_refused("login", str(refusal), refusal.identity)
            return self._turned_away(request, refusal)
        except LoginFinished:  # the page was loaded again
            return self._to_the_page()
        except (OAuthError, UpstreamError, StoreError) as error:
            if not isinstance(error, OAuthError):
                self._emit_refused("upstream", reason_of(error))
            failure = failure_of(
                as_seen_here(error), request, self.random_bytes, level=logging.WARNING
            )
            return self.pages.error(request, failure, retry=account_path(self.site))

    async def _finish(self, form: Form, login: AccountLogin) -> Response:
        leg = LoginLeg(self.upstream, self.vault, self.allow)
        await leg.claim(form, login)
        if optional(form, "error") is not None:
            self._emit_refused("upstream", "the provider answered access_denied")
            raise LoginNotAccepted("you did not sign in at the identity provider; try again")
        wanted, now = account_login(login, self.upstream, self.site), int(self.clock())
        _, identity = await leg.identify(one(form, "code"), wanted, now=now)
        response = self._to_the_page()
        self.cookies.set_session(response, self._session(identity, now))
        self.emit(LoggedIn(party=self._party(identity), purpose="account"))
        return response

    def _party(self, who: Identity | None) -> Party:
        subject = None if who is None else Subject(who.issuer, who.subject)
        return Party(subject=subject, provider=self.upstream.name)

    def _emit_refused(self, stage: str, reason: str, who: Identity | None = None) -> None:
        self.emit(
            LoginRefused(party=self._party(who), stage=stage, reason=reason, purpose="account")
        )

    def _session(self, identity: Identity, now: int) -> AccountSession:
        return AccountSession(
            id=self.random_bytes(SESSION_ID_BYTES),
            issuers=self.upstream.upstream.names_of(identity.issuer),
            subject=identity.subject,
            name=name_of(identity)[:_MAX_NAME],
            upstream=self.upstream.title,
            expires_at=now + SESSION_SECONDS,
        )

    def _to_the_page(self) -> Response:
        return RedirectResponse(account_path(self.site), status_code=303, headers=NO_STORE)

    def _turned_away(self, request: Request, refused: TurnedAway) -> Response:
        told = AccessDenied(
            "this user may not log in here; ask the operator of this server", reason=str(refused)
        )
        failure = failure_of(told, request, self.random_bytes, level=logging.WARNING)
        response = self.pages.show(
            request,
            "refused",
            status=told.status,
            provider=self.upstream.title,
            user=name_of(refused.identity),
            another=account_path(self.site),
            back=None,
            advice=told.advice,
            reference=failure.reference,
        )
        return with_headers_of(failure, response)
