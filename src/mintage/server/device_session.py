"""What a browser keeps while its person answers a device: a form's hidden field, and a login.

Both are encrypted for this issuer, and bound to the browser in which the code was typed.
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
from mintage.values import RandomBytes, Scopes

_LOGIN: Final = "device-login"
_FORM: Final = "form"

T = TypeVar("T")


class DeviceForm(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """For which browser a page was made. *user_code*: what the page asks about; "": for a code."""

    browser: bytes
    expires_at: int
    user_code: str = ""
    upstreams: tuple[str, ...] = ()


class DeviceLogin(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An approved login on its way to *upstream* and back. *scopes*: of the device's request."""

    state: str
    nonce: str
    code_verifier: str
    expires_at: int
    upstream: str
    user_code: str
    client_id: str
    resource: str
    scopes: Scopes
    choose: bool = False


_logins: msgspec.msgpack.Decoder[DeviceLogin] = msgspec.msgpack.Decoder(DeviceLogin)
_forms: msgspec.msgpack.Decoder[DeviceForm] = msgspec.msgpack.Decoder(DeviceForm)


@dataclass(frozen=True, slots=True)
class DeviceCookies:
    """*keys*: the first encrypts, all decrypt. A browser answers one device at a time."""

    cookies: Cookies
    keys: tuple[BoxKey, ...] = field(repr=False)
    issuer: str
    random_bytes: RandomBytes

    def set_login(self, response: Response, login: DeviceLogin) -> None:
        """Keep *login* in the browser, in place of an earlier one."""
        value = self._seal(login, _LOGIN)
        self.cookies.set(response, self.cookies.name(_LOGIN), value, seconds=LOGIN_SECONDS)

    def login(self, request: Request, state: str, *, now: int) -> DeviceLogin | None:
        """The login with this *state*, if this very browser began it."""
        value = cookies_of(request).get(self.cookies.name(_LOGIN))
        login = None if value is None else self._open(value, _LOGIN, _logins)
        if login is None or login.state != state or now >= login.expires_at:
            return None
        return login

    def clear_login(self, response: Response) -> None:
        self.cookies.expire(response, self.cookies.name(_LOGIN))

    def seal_form(self, form: DeviceForm) -> str:
        return self._seal(form, _FORM)

    def open_form(self, text: str) -> DeviceForm | None:
        """The form that `seal_form` made; None for anything else."""
        return self._open(text, _FORM, _forms)

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
        return f"device {name} of {self.issuer}".encode()
