"""Two cookies, both sealed or random, both gone when their purpose is.

``browser-…`` ties consent forms to the browser they were shown in (a forged cross-site form
comes without it). A browser gets one with its first page, and keeps it for longer than any page is
good for; first pages that are asked for at the same time each bring one, under names of their own.
``login-…`` carries one approved login to the callback and back.
On https they carry the ``__Host-`` prefix; plain http, allowed for loopback only, has none.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.crypto.base64url import decode_text, encode_text
from mintage.crypto.sealing import BoxKey
from mintage.errors import InvalidRequest, SealError
from mintage.server.requests import AuthorizationRequest
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import RandomBytes
from mintage.web.cookie_header import only_cookies

LOGIN_SECONDS: Final = 600
_MAX_COOKIE: Final = 3800  # browsers take 4096 for name, value and attributes
_MAX_LOGINS: Final = 6000  # bytes of all together; proxies refuse headers beyond 8 KiB
_MAX_BROWSERS: Final = 8
_BROWSER_SECONDS: Final = 6 * LOGIN_SECONDS
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
    random_bytes: RandomBytes

    def browsers(self, request: Request) -> tuple[str, ...]:
        """The names that this browser got from us."""
        start = self._name("browser-")
        found = (value for name, value in _cookies(request).items() if name.startswith(start))
        return tuple(sorted(filter(_is_browser, found)))

    def name_browser(self, request: Request, response: Response) -> str:
        """The name of this browser, which it keeps for a while from now; a new one if need be."""
        names = self.browsers(request)
        name = names[0] if names else self._new_browser()
        self._set(response, self._browser_name(name), name, seconds=_BROWSER_SECONDS)
        for surplus in names[_MAX_BROWSERS:]:
            self._expire(response, self._browser_name(surplus))
        return name

    def _new_browser(self) -> str:
        return encode_text(self.random_bytes(_BROWSER_BYTES))

    def _browser_name(self, name: str) -> str:
        return self._name(f"browser-{hashlib.sha256(name.encode()).hexdigest()[:8]}")

    def seal_login(self, login: PendingLogin) -> str:
        """*login* as a cookie's value. Raises `InvalidRequest` where no cookie could hold it."""
        value = seal_text(
            login,
            keys=self.keys,
            context=self._login_name(login.state).encode(),
            random_bytes=self.random_bytes,
        )
        if len(value) > _MAX_COOKIE:
            raise InvalidRequest("the request is too long: shorten state or redirect_uri")
        return value

    def set_login(self, request: Request, response: Response, login: PendingLogin) -> None:
        """Hand *login* to the browser; the oldest go where all together are too many bytes."""
        value = self.seal_login(login)
        start, room = self._name("login-"), _MAX_LOGINS - len(value)
        others = [name for name in _cookies(request) if name.startswith(start)]
        for name in sorted(others, key=lambda name: self._ends(request, name), reverse=True):
            room -= len(name) + len(_cookies(request)[name])
            if room < 0:
                self._expire(response, name)
        self._set(response, self._login_name(login.state), value, seconds=LOGIN_SECONDS)

    def _ends(self, request: Request, name: str) -> int:
        login = self._open_login(request, name)
        return 0 if login is None else login.expires_at

    def login(self, request: Request, state: str, *, now: int) -> PendingLogin | None:
        """The login that *state* belongs to, if it was approved in this very browser."""
        login = self._open_login(request, self._login_name(state))
        if login is None:
            return None
        return login if login.state == state and now < login.expires_at else None

    def _open_login(self, request: Request, name: str) -> PendingLogin | None:
        value = _cookies(request).get(name)
        if value is None:
            return None
        try:
            return open_text(value, _logins, keys=self.keys, context=name.encode())
        except SealError:
            return None

    def clear_login(self, response: Response, state: str) -> None:
        self._expire(response, self._login_name(state))

    def _login_name(self, state: str) -> str:
        digest = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()
        return self._name(f"login-{digest[:16]}")

    def _name(self, name: str) -> str:
        return f"__Host-mintage-{name}" if self.secure else f"mintage-{name}"

    def _set(self, response: Response, name: str, value: str, *, seconds: int) -> None:
        response.set_cookie(
            name, value, max_age=seconds, secure=self.secure, httponly=True, samesite="lax"
        )

    def _expire(self, response: Response, name: str) -> None:
        response.delete_cookie(name, secure=self.secure, httponly=True, samesite="lax")


def _is_browser(value: str) -> bool:
    try:
        return len(decode_text(value)) == _BROWSER_BYTES
    except ValueError:
        return False


def _cookies(request: Request) -> dict[str, str]:
    """By their exact names: Starlette's reader strips a byte A0 in front of ``__Host-…``."""
    return only_cookies(value for name, value in request.scope["headers"] if name == b"cookie")
