"""The way back from the provider to ``/account``."""

from typing import ClassVar, Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.logins import LoggedIn, Purpose
from mintage.grants.states import Identity
from mintage.server.account import account_login, account_path
from mintage.server.account_session import (
    SESSION_ID_BYTES,
    SESSION_SECONDS,
    AccountCookies,
    AccountLogin,
    AccountSession,
)
from mintage.server.login_leg import name_of
from mintage.server.sign_in import Arrival
from mintage.site.site import Site
from mintage.upstream.protocol import LoginRequest
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import RandomBytes
from mintage.web.edge import NO_STORE

_MAX_NAME: Final = 200  # the cookie holds it


class AccountSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a login that began at ``/account``. See `SignIn`.

    The provider's tokens are not kept: the page needs none. They are not revoked either, because
    many providers would then end the user's other logins through Mintage too (RFC 7009 §2.1).
    """

    site: Site
    upstream: RegisteredUpstream
    cookies: AccountCookies
    random_bytes: RandomBytes
    emit: Emit = ignore

    purpose: ClassVar[Purpose] = "account"

    def login(self, request: Request, state: str, *, now: int) -> AccountLogin | None:
        return self.cookies.login.get(request, state, now=now)

    def forget(self, response: Response, _login: AccountLogin, /) -> None:
        self.cookies.login.clear(response)

    def wanted(self, login: AccountLogin, /) -> LoginRequest:
        return account_login(login, self.upstream, self.site)

    async def welcome(self, arrival: Arrival[AccountLogin], /) -> Response:
        response = self.onward(arrival.login)
        self.cookies.set_session(response, self._session(arrival.who, arrival.now))
        self.emit(LoggedIn(party=self.party(arrival.login, arrival.who), purpose=self.purpose))
        return response

    def onward(self, _login: AccountLogin, /) -> Response:
        return RedirectResponse(account_path(self.site), status_code=303, headers=NO_STORE)

    def again(self, _login: AccountLogin, /) -> str:
        return account_path(self.site)

    def with_another_account(self, login: AccountLogin, /) -> str:
        return self.again(login)

    def party(self, _login: AccountLogin, who: Identity | None, /) -> Party:
        subject = None if who is None else Subject(who.issuer, who.subject)
        return Party(subject=subject, provider=self.upstream.name)

    def _session(self, who: Identity, now: int) -> AccountSession:
        return AccountSession(
            id=self.random_bytes(SESSION_ID_BYTES),
            issuers=self.upstream.upstream.names_of(who.issuer),
            subject=who.subject,
            name=name_of(who)[:_MAX_NAME],
            upstream=self.upstream.title,
            expires_at=now + SESSION_SECONDS,
            provider=self.upstream.name,
        )
