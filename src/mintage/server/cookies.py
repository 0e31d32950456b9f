"""Two cookies, both sealed or random, both gone when their purpose is.

``browser`` ties a consent form to the browser it was shown in (a forged cross-site form
comes without it). ``login-…`` carries one approved login to the callback and back.
On https they carry the ``__Host-`` prefix; plain http, allowed for loopback only, has none.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import InvalidRequest, SealError
from mintage.sealing import NONCE_BYTES, BoxKey, open_any, seal
from mintage.server.requests import AuthorizationRequest
from mintage.values import Dice

LOGIN_SECONDS: Final = 600
_MAX_COOKIE: Final = 3800  # browsers take 4096 for name, value and attributes
_MAX_LOGINS: Final = 3  # at once in one browser; proxies refuse headers beyond 8 KiB
_BROWSER_BYTES: Final = 16


class PendingLogin(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An approved login on its way to *upstream* and back. Kept in the browser, sealed."""

    request: AuthorizationRequest
    state: str
    nonce: str
    code_verifier: str
    expires_at: int
    upstream: str


_logins: msgspec.msgpack.Decoder[PendingLogin] = msgspec.msgpack.Decoder(PendingLogin)


@dataclass(frozen=True, slots=True)
class Cookies:
    keys: tuple[BoxKey, ...] = field(repr=False)  # the first seals, all open
    secure: bool
    dice: Dice

    def browser(self, request: Request) -> str | None:
        """The name this browser got from us, or None."""
        value = request.cookies.get(self._name("browser"), "")
        try:
            raw = base64.urlsafe_b64decode(value + "==")
        except (ValueError, binascii.Error):
            return None
        return value if len(raw) == _BROWSER_BYTES else None

    def name_browser(self, response: Response) -> str:
        """Give this browser a name."""
        name = base64.urlsafe_b64encode(self.dice(_BROWSER_BYTES)).rstrip(b"=").decode()
        self._set(response, self._name("browser"), name)
        return name

    def seal_login(self, login: PendingLogin) -> str:
        """*login* as a cookie's value. Raises `InvalidRequest` where no cookie could hold it."""
        box = seal(
            msgspec.msgpack.encode(login),
            key=self.keys[0],
            context=self._login_name(login.state).encode(),
            nonce=self.dice(NONCE_BYTES),
        )
        value = base64.urlsafe_b64encode(box).rstrip(b"=").decode()
        if len(value) > _MAX_COOKIE:
            raise InvalidRequest("the request is too long: shorten state or redirect_uri")
        return value

    def set_login(self, request: Request, response: Response, login: PendingLogin) -> None:
        """Hand *login* to the browser; the oldest go where there are too many."""
        others = [name for name in request.cookies if name.startswith(self._name("login-"))]
        for name in others[: max(len(others) - _MAX_LOGINS + 1, 0)]:
            self._expire(response, name)
        self._set(response, self._login_name(login.state), self.seal_login(login))

    def login(self, request: Request, state: str, *, now: int) -> PendingLogin | None:
        """The login that *state* belongs to, if it was approved in this very browser."""
        name = self._login_name(state)
        value = request.cookies.get(name)
        if value is None:
            return None
        try:
            box = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
            login = _logins.decode(open_any(box, keys=self.keys, context=name.encode()))
        except (ValueError, binascii.Error, SealError, msgspec.DecodeError):
            return None
        return login if login.state == state and now < login.expires_at else None

    def clear_login(self, response: Response, state: str) -> None:
        self._expire(response, self._login_name(state))

    def _login_name(self, state: str) -> str:
        digest = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()
        return self._name(f"login-{digest[:16]}")

    def _name(self, name: str) -> str:
        return f"__Host-mintage-{name}" if self.secure else f"mintage-{name}"

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(
            name, value, max_age=LOGIN_SECONDS, secure=self.secure, httponly=True, samesite="lax"
        )

    def _expire(self, response: Response, name: str) -> None:
        response.delete_cookie(name, secure=self.secure, httponly=True, samesite="lax")
