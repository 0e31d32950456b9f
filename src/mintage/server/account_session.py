"""Who is signed in at ``/account``: a session for that page alone, in a cookie of its browser.

It is no grant, and no token can be made from it.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.server.cookies import Cookies
from mintage.server.login_errors import AccountRefused
from mintage.server.page_cookies import PageForm, PageLogin, PageSeal
from mintage.values import Clock
from mintage.vault.vault import Vault

SESSION_SECONDS: Final = 900
SESSION_ID_BYTES: Final = 16
_SESSION: Final = "account"


class AccountLogin(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A login for the page, on its way to *upstream* and back."""

    state: str
    nonce: str
    code_verifier: str
    expires_at: int
    upstream: str


class AccountSession(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Who is signed in: *subject* under each of *issuers*, the names of one provider.

    *name*: what the person calls the account. *upstream*: the provider's title. *provider*: its
    name in the settings.
    """

    id: bytes
    issuers: tuple[str, ...]
    subject: str
    name: str
    upstream: str
    expires_at: int
    provider: str = ""

    @property
    def end(self) -> bytes:
        """The name that is claimed when the person signs out."""
        return b"account session " + self.id


class AccountForm(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The hidden field: for which browser and session (None: not signed in) a page was made."""

    browser: bytes
    session: bytes | None
    expires_at: int


_logins: msgspec.msgpack.Decoder[AccountLogin] = msgspec.msgpack.Decoder(AccountLogin)
_sessions: msgspec.msgpack.Decoder[AccountSession] = msgspec.msgpack.Decoder(AccountSession)
_forms: msgspec.msgpack.Decoder[AccountForm] = msgspec.msgpack.Decoder(AccountForm)


class AccountCookies(msgspec.Struct, frozen=True):
    cookies: Cookies
    issuer: str

    @property
    def login(self) -> PageLogin[AccountLogin]:
        """The login under way."""
        return PageLogin(self._seal, _logins)

    @property
    def form(self) -> PageForm[AccountForm]:
        """The page's hidden field."""
        return PageForm(self._seal, _forms, AccountRefused)

    def set_session(self, response: Response, session: AccountSession) -> None:
        self._seal.set(response, _SESSION, session, seconds=SESSION_SECONDS)

    def session(self, request: Request, *, now: int) -> AccountSession | None:
        """The session of this browser, if it has not expired."""
        session = self._seal.get(request, _SESSION, _sessions)
        return None if session is None or now >= session.expires_at else session

    def clear_session(self, response: Response) -> None:
        self._seal.clear(response, _SESSION)

    @property
    def _seal(self) -> PageSeal:
        return PageSeal(self.cookies, "account", self.issuer)


class AccountSessions(msgspec.Struct, frozen=True):
    cookies: AccountCookies
    vault: Vault
    clock: Clock

    async def find(self, request: Request) -> AccountSession | None:
        """Who is signed in. A session that was ended by signing out is none."""
        session = self.cookies.session(request, now=int(self.clock()))
        if session is None or await self.vault.single_use.is_claimed(session.end):
            return None
        return session

    async def end(self, session: AccountSession) -> None:
        """Make *session* useless, and copies of its cookie too."""
        await self.vault.single_use.claim(session.end, expires_at=session.expires_at)
