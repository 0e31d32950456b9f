"""The way back from the provider for logins that began at Mintage itself, and not at a client.

All logins have the same redirect URIs: each of these handlers answers the callbacks of its own.
"""

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import AccessDenied, OAuthError, StoreError, UpstreamError
from mintage.events.event import Emit, Party, ignore
from mintage.events.logins import LoginRefused, Purpose
from mintage.grants.admission import AllowRule
from mintage.grants.states import Identity, UpstreamTokens
from mintage.server.login_errors import LoginFinished, LoginNotAccepted
from mintage.server.login_leg import (
    LoginInProgress,
    LoginLeg,
    TurnedAway,
    as_seen_here,
    name_of,
    reason_of,
)
from mintage.server.pages import Pages, with_headers_of
from mintage.upstream.protocol import LoginRequest
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault
from mintage.web.edge import Handler, failure_of, read_query
from mintage.web.forms import Form, one, optional

L = TypeVar("L", bound=LoginInProgress)


class Arrival(msgspec.Struct, Generic[L], frozen=True):
    """A user who is back from the provider and may log in."""

    request: Request
    login: L
    who: Identity
    tokens: UpstreamTokens
    now: int


class SignIn(Protocol[L]):
    """What a login is for."""

    purpose: ClassVar[Purpose]

    def login(self, request: Request, state: str, *, now: int) -> L | None:
        """The login with this *state*, if this very browser began it here."""

    def forget(self, response: Response, login: L, /) -> None:
        """Remove the login from the browser."""

    def wanted(self, login: L, /) -> LoginRequest:
        """The login as it is requested from the provider."""

    async def welcome(self, arrival: Arrival[L], /) -> Response:
        """The response to a user who has logged in, which is reported as an event."""

    def onward(self, login: L, /) -> Response:
        """The response for a login that was finished before."""

    def again(self, login: L, /) -> str:
        """Where the person begins again."""

    def party(self, login: L, who: Identity | None, /) -> Party:
        """Whom an event is about; *who* is None if the user is not known."""

    def with_another_account(self, login: L, /) -> str:
        """Where the person begins again, and chooses the account at the provider."""


class SignInCallback(msgspec.Struct, Generic[L], frozen=True, kw_only=True):
    """Answers the callbacks of *sign_in*; *otherwise* gets all others.

    *turned_away* gets the provider's tokens for a user whom no rule admits.
    """

    otherwise: Handler
    sign_in: SignIn[L]
    upstream: RegisteredUpstream
    vault: Vault
    allow: Sequence[AllowRule]
    turned_away: Callable[[UpstreamTokens], None]
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            return await self.otherwise(request)
        form = read_query(request)
        login = self.sign_in.login(request, one(form, "state"), now=int(self.clock()))
        if login is None:
            return await self.otherwise(request)
        response = await self._answer(request, form, login)
        self.sign_in.forget(response, login)
        return response

    async def _answer(self, request: Request, form: Form, login: L) -> Response:
        try:
            return await self._finish(request, form, login)
        except TurnedAway as refusal:
            self.turned_away(refusal.tokens)
            self._emit_refused(login, "login", str(refusal), refusal.identity)
            return self._refused(request, refusal, login)
        except LoginFinished:  # the page was loaded again
            return self.sign_in.onward(login)
        except (OAuthError, UpstreamError, StoreError) as error:
            if not isinstance(error, OAuthError):
                self._emit_refused(login, "upstream", reason_of(error))
            failure = failure_of(
                as_seen_here(error), request, self.random_bytes, level=logging.WARNING
            )
            return self.pages.error(request, failure, retry=self.sign_in.again(login))

    async def _finish(self, request: Request, form: Form, login: L) -> Response:
        leg = LoginLeg(self.upstream, self.vault, self.allow)
        await leg.claim(form, login)
        if optional(form, "error") is not None:
            self._emit_refused(login, "upstream", "the provider answered access_denied")
            raise LoginNotAccepted("you did not sign in at the identity provider; try again")
        wanted, now = self.sign_in.wanted(login), int(self.clock())
        tokens, who = await leg.identify(one(form, "code"), wanted, now=now)
        return await self.sign_in.welcome(Arrival(request, login, who, tokens, now))

    def _emit_refused(self, login: L, stage: str, reason: str, who: Identity | None = None) -> None:
        party, purpose = self.sign_in.party(login, who), self.sign_in.purpose
        self.emit(LoginRefused(party=party, stage=stage, reason=reason, purpose=purpose))

    def _refused(self, request: Request, refused: TurnedAway, login: L) -> Response:
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
            another=self.sign_in.with_another_account(login),
            back=None,
            advice=told.advice,
            reference=failure.reference,
        )
        return with_headers_of(failure, response)
