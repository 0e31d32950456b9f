"""Two cookies, encrypted or random. Each is removed when it is no longer needed.

``browser-…`` ties consent forms to the browser that they were shown in: a forged cross-site form
comes without it. A browser gets one with its first page, and keeps it for longer than any page is
valid. First pages that are requested at the same time each set one, under names of their own.
``login-…`` carries one approved login to the callback.
On https they have the ``__Host-`` prefix. Plain http, allowed only for loopback, has none.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.crypto.base64url import decode_text, encode_text
from mintage.crypto.sealing import BoxKey
from mintage.errors import InvalidRequest, SealError
from mintage.partly_shown import PartlyShown
from mintage.server.requests import AuthorizationRequest
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import RandomBytes
from mintage.web.cookie_header import only_cookies

LOGIN_SECONDS: Final = 600
_MAX_COOKIE: Final = 3800  # browsers take 4096 for name, value and attributes
_MAX_LOGINS: Final = 5700  # bytes of all together; proxies refuse headers beyond 8 KiB
_OF_APPS: Final = "login-"
OF_SITES: Final = "site-login-"
_SIGNS: Final = len("=; ")
_MAX_BROWSERS: Final = 8
_BROWSER_SECONDS: Final = 6 * LOGIN_SECONDS
_BROWSER_BYTES: Final = 16
_READ: Final = "mintage.cookies"  # in a scope: its headers, and the cookies in them
_NOTHING_READ: Final[tuple[object, Mapping[str, str]]] = (None, {})
_PAIR: Final = re.compile("[!-:<>-~]+=[!-:<-~]*")  # ASCII without blanks and semicolons
_OVER: Final = "expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0"


class PendingLogin(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An approved login on its way to *upstream* and back. The browser keeps it, encrypted.

    *terms*: a hash of what the user agreed to, if that is to be remembered or was. *remembered*:
    under which names it was, by what this browser says; empty: the user agreed on the page.
    """

    request: AuthorizationRequest
    state: str
    nonce: str
    code_verifier: str
    expires_at: int
    upstream: str
    terms: bytes = b""
    remembered: tuple[bytes, ...] = ()


_logins: msgspec.msgpack.Decoder[PendingLogin] = msgspec.msgpack.Decoder(PendingLogin)


class KeptLogin(Protocol):
    """What every login has that a browser keeps."""

    @property
    def state(self) -> str: ...
    @property
    def expires_at(self) -> int: ...


L = TypeVar("L", bound=KeptLogin)


class Cookies(PartlyShown, frozen=True):
    not_shown = ("keys",)

    keys: tuple[BoxKey, ...]  # the first seals, all open
    secure: bool
    random_bytes: RandomBytes

    def browsers(self, request: Request) -> tuple[str, ...]:
        """The names that Mintage gave this browser."""
        start = self.name("browser-")
        found = (value for name, value in cookies_of(request).items() if name.startswith(start))
        return tuple(sorted(filter(_is_browser, found)))

    def name_browser(self, request: Request, response: Response) -> str:
        """The name of this browser, valid for a while from now; a new one if needed."""
        names = self.browsers(request)
        name = names[0] if names else self._new_browser()
        self.set(response, self._browser_name(name), name, seconds=_BROWSER_SECONDS)
        for surplus in names[_MAX_BROWSERS:]:
            self.expire(response, self._browser_name(surplus))
        return name

    def is_from(self, request: Request, browser: bytes) -> bool:
        """Whether *request* comes from the browser whose name has the digest *browser*."""
        found = [digest_of(name) for name in self.browsers(request)]
        return any(hmac.compare_digest(each, browser) for each in found)

    def _new_browser(self) -> str:
        return encode_text(self.random_bytes(_BROWSER_BYTES))

    def _browser_name(self, name: str) -> str:
        return self.name(f"browser-{hashlib.sha256(name.encode()).hexdigest()[:8]}")

    def seal_login(self, login: PendingLogin) -> str:
        """A client's *login* as a cookie's value: see `LoginCookies`, as for the next three."""
        return self._logins.seal(login)

    def set_login(self, request: Request, response: Response, login: PendingLogin) -> None:
        self._logins.set(request, response, login)

    def login(self, request: Request, state: str, *, now: int) -> PendingLogin | None:
        return self._logins.get(request, state, now=now)

    def clear_login(self, response: Response, state: str) -> None:
        self._logins.clear(response, state)

    @property
    def _logins(self) -> "LoginCookies[PendingLogin]":
        return LoginCookies(self, _OF_APPS, _logins)

    def name(self, name: str) -> str:
        """The whole name of the cookie *name*."""
        return f"__Host-mintage-{name}" if self.secure else f"mintage-{name}"

    def set(self, response: Response, name: str, value: str, *, seconds: int) -> None:
        """Set a cookie whose whole name is *name*."""
        self._add(response, name, value, f"HttpOnly; Max-Age={seconds}")

    def expire(self, response: Response, name: str) -> None:
        """Remove the cookie whose whole name is *name*."""
        self._add(response, name, "", _OVER)

    def _add(self, response: Response, name: str, value: str, attributes: str) -> None:
        """As Starlette's `set_cookie` does, which takes ten times as long."""
        if not _PAIR.fullmatch(pair := f"{name}={value}"):
            raise ValueError("no cookie has such a name or value")
        secure = "; Secure" if self.secure else ""
        line = f"{pair}; {attributes}; Path=/; SameSite=lax{secure}"
        response.raw_headers.append((b"set-cookie", line.encode("ascii")))


class LoginCookies(msgspec.Struct, Generic[L], frozen=True):
    """Logins under way in one browser: a cookie for each, named *prefix* and a hash of its state.

    *context*: what they are for, if that is not a client; a login opens for nothing else.
    """

    cookies: Cookies
    prefix: str
    decoder: msgspec.msgpack.Decoder[L]
    context: str = ""

    def seal(self, login: L) -> str:
        """*login* as a cookie's value. Raises `InvalidRequest` if it is too long for a cookie."""
        value = seal_text(
            login,
            keys=self.cookies.keys,
            context=self._context(self._name(login.state)),
            random_bytes=self.cookies.random_bytes,
        )
        if len(value) > _MAX_COOKIE:
            raise InvalidRequest("the request is too long: shorten state or redirect_uri")
        return value

    def set(self, request: Request, response: Response, login: L) -> None:
        """Set *login* as a cookie, and remove others if all are too long together.

        Those of sites go before those of apps, because any page can begin one; then the oldest.
        """
        own = self._name(login.state)
        value = self.seal(login)
        sent, apps = cookies_of(request), self.cookies.name(_OF_APPS)
        starts = apps, self.cookies.name(OF_SITES)
        others = [name for name in reversed([*sent]) if name.startswith(starts)]  # the newest first
        room = _MAX_LOGINS - len(own) - len(value)
        for name in sorted(
            others,
            key=lambda name: (name.startswith(apps), self._ends(request, name)),
            reverse=True,
        ):
            room -= len(name) + len(sent[name]) + _SIGNS
            if room < 0:
                self.cookies.expire(response, name)
        self.cookies.set(response, own, value, seconds=LOGIN_SECONDS)

    def get(self, request: Request, state: str, *, now: int) -> L | None:
        """The login with this *state*, if it was begun in this very browser."""
        login = self._open(request, self._name(state))
        if login is None:
            return None
        return login if login.state == state and now < login.expires_at else None

    def clear(self, response: Response, state: str) -> None:
        self.cookies.expire(response, self._name(state))

    def _ends(self, request: Request, name: str) -> int:
        login = self._open(request, name)
        return 0 if login is None else login.expires_at

    def _open(self, request: Request, name: str) -> L | None:
        value = cookies_of(request).get(name)
        if value is None:
            return None
        try:
            context = self._context(name)
            return open_text(value, self.decoder, keys=self.cookies.keys, context=context)
        except SealError:
            return None

    def _context(self, name: str) -> bytes:
        return f"{self.context}{name}".encode()

    def _name(self, state: str) -> str:
        digest = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()
        return self.cookies.name(f"{self.prefix}{digest[:16]}")


def digest_of(browser: str) -> bytes:
    """What forms hold about a browser, which may not hold its name."""
    return hashlib.sha256(browser.encode()).digest()


def _is_browser(value: str) -> bool:
    try:
        return len(decode_text(value)) == _BROWSER_BYTES
    except ValueError:
        return False


def copy_cookies(source: Response, response: Response) -> None:
    """Set the cookies of *source* in *response* too."""
    response.raw_headers.extend(h for h in source.raw_headers if h[0] == b"set-cookie")


def cookies_of(request: Request) -> Mapping[str, str]:
    """Cookies by their exact names: Starlette's reader strips a byte A0 before ``__Host-…``."""
    scope = request.scope
    headers = scope["headers"]
    read: tuple[object, Mapping[str, str]] = scope.get(_READ, _NOTHING_READ)
    if read[0] is not headers:  # once for each request
        found = only_cookies([value for name, value in headers if name == b"cookie"])
        read = scope[_READ] = headers, found
    return read[1]
