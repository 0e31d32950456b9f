"""What a browser keeps for one page at which a person signs in: a login, and the page's forms.

Everything is encrypted for that page of this issuer: another page, or another issuer with the same
secret, can't open it. A form counts only in the browser that it was shown in.
"""

from typing import Final, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import InvalidRequest, SealError
from mintage.server.cookies import LOGIN_SECONDS, Cookies, KeptLogin, cookies_of
from mintage.server.login_errors import CookieMissing
from mintage.server.sealed_text import open_text, seal_text

_FORM: Final = "form"


class SentForm(Protocol):
    """What the hidden field of every page says: for which browser it was made, and until when."""

    @property
    def browser(self) -> bytes: ...
    @property
    def expires_at(self) -> int: ...


T = TypeVar("T")
L = TypeVar("L", bound=KeptLogin)
F = TypeVar("F", bound=SentForm)


class PageSeal(msgspec.Struct, frozen=True):
    """Encrypts for *page*, which is a name in no address. *cookies* has the keys."""

    cookies: Cookies
    page: str
    issuer: str

    def seal(self, value: object, name: str) -> str:
        return seal_text(
            value,
            keys=self.cookies.keys,
            context=self._context(name),
            random_bytes=self.cookies.random_bytes,
        )

    def open(self, text: str, name: str, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        """What `seal` got under this *name*; None for any other text."""
        try:
            return open_text(text, decoder, keys=self.cookies.keys, context=self._context(name))
        except SealError:
            return None

    def set(self, response: Response, name: str, value: object, *, seconds: int) -> None:
        """Keep *value* in the cookie *name*."""
        text = self.seal(value, name)
        self.cookies.set(response, self.cookies.name(name), text, seconds=seconds)

    def get(self, request: Request, name: str, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        text = cookies_of(request).get(self.cookies.name(name))
        return None if text is None else self.open(text, name, decoder)

    def clear(self, response: Response, name: str) -> None:
        self.cookies.expire(response, self.cookies.name(name))

    def _context(self, name: str) -> bytes:
        return f"{self.page} {name} of {self.issuer}".encode()


class PageLogin(msgspec.Struct, Generic[L], frozen=True):
    """The login that a browser has under way for a page: one at a time."""

    seal: PageSeal
    decoder: msgspec.msgpack.Decoder[L]

    def set(self, response: Response, login: L) -> None:
        """Keep *login* in the browser, in place of an earlier one."""
        self.seal.set(response, self._name, login, seconds=LOGIN_SECONDS)

    def get(self, request: Request, state: str, *, now: int) -> L | None:
        """The login with this *state*, if this very browser began it."""
        login = self.seal.get(request, self._name, self.decoder)
        if login is None or login.state != state or now >= login.expires_at:
            return None
        return login

    def clear(self, response: Response) -> None:
        self.seal.clear(response, self._name)

    @property
    def _name(self) -> str:
        return f"{self.seal.page}-login"


class PageForm(msgspec.Struct, Generic[F], frozen=True):
    """The hidden field of a page's forms. *refused*: the error for one that can't be used."""

    seal: PageSeal
    decoder: msgspec.msgpack.Decoder[F]
    refused: type[InvalidRequest]

    def field(self, form: F) -> str:
        """The field's value, for a page."""
        return self.seal.seal(form, _FORM)

    def sent(self, request: Request, text: str, *, now: int) -> F:
        """The form that *request* brings as *text*: from this page and this browser, and in time.

        Raises *refused* or `CookieMissing`.
        """
        form = self.seal.open(text, _FORM, self.decoder)
        if form is None:
            raise self.refused(
                "this server did not make this form; open the page again", reason="foreign form"
            )
        if not self.seal.cookies.is_from(request, form.browser):
            raise CookieMissing(
                "this browser did not send back the cookie that the page came with; allow "
                "cookies for this site",
                reason=f"{self.seal.page} form without its browser's cookie",
                stage=self.refused.stage,
            )
        if now >= form.expires_at:
            raise self.refused(
                "this page was open for too long; open it again", reason="expired form"
            )
        return form
