"""Who is signed in at ``/account``: a session for that page alone, in a cookie of its browser.

It is no grant, and no token can be made from it. The cookies and the form are encrypted for this
issuer: another issuer with the same secret can't open them.
"""

from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.crypto.sealing import BoxKey
from mintage.errors import SealError
from mintage.server.cookies import LOGIN_SECONDS, Cookies, cookies_of
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault

SESSION_SECONDS: Final = 900
SESSION_ID_BYTES: Final = 16
_LOGIN: Final = "account-login"
_SESSION: Final = "account"
_FORM: Final = "form"

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class AccountCookies:
    """*keys*: the first encrypts, all decrypt."""

    cookies: Cookies
    keys: tuple[BoxKey, ...] = field(repr=False)
    issuer: str
    random_bytes: RandomBytes

    def set_login(self, response: Response, login: AccountLogin) -> None:
        """Keep *login* in the browser, in place of an earlier one."""
        value = self._seal(login, _LOGIN)
        self.cookies.set(response, self.cookies.name(_LOGIN), value, seconds=LOGIN_SECONDS)

    def login(self, request: Request, state: str, *, now: int) -> AccountLogin | None:
        """The login with this *state*, if this very browser began it."""
        login = self._cookie(request, _LOGIN, _logins)
        if login is None or login.state != state or now >= login.expires_at:
            return None
        return login

    def clear_login(self, response: Response) -> None:
        self.cookies.expire(response, self.cookies.name(_LOGIN))

    def set_session(self, response: Response, session: AccountSession) -> None:
        value = self._seal(session, _SESSION)
        self.cookies.set(response, self.cookies.name(_SESSION), value, seconds=SESSION_SECONDS)

    def session(self, request: Request, *, now: int) -> AccountSession | None:
        """The session of this browser, if it has not expired."""
        session = self._cookie(request, _SESSION, _sessions)
        return None if session is None or now >= session.expires_at else session

    def clear_session(self, response: Response) -> None:
        self.cookies.expire(response, self.cookies.name(_SESSION))

    def seal_form(self, form: AccountForm) -> str:
        return self._seal(form, _FORM)

    def open_form(self, text: str) -> AccountForm | None:
        """The form that `seal_form` made; None for anything else."""
        return self._open(text, _FORM, _forms)

    def _cookie(self, request: Request, name: str, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        value = cookies_of(request).get(self.cookies.name(name))
        return None if value is None else self._open(value, name, decoder)

    def _seal(self, value: msgspec.Struct, name: str) -> str:
        return seal_text(
            value, keys=self.keys, context=self._context(name), random_bytes=self.random_bytes
        )

    def _open(self, text: str, name: str, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        try:
            return open_text(text, decoder, keys=self.keys, context=self._context(name))
        except SealError:
            return None

    def _context(self, name: str) -> bytes:
        return f"account {name} of {self.issuer}".encode()


@dataclass(frozen=True, slots=True)
class AccountSessions:
    cookies: AccountCookies
    vault: Vault
    clock: Clock

    async def find(self, request: Request) -> AccountSession | None:
        """Who is signed in. A session that was ended by signing out is none."""
        session = self.cookies.session(request, now=int(self.clock()))
        if session is None or await self.vault.is_claimed(session.end):
            return None
        return session

    async def end(self, session: AccountSession) -> None:
        """Make *session* useless, and copies of its cookie too."""
        await self.vault.claim(session.end, expires_at=session.expires_at)
