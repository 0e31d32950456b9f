"""The cookies of browsers at resources for them: a login under way, and a session.

A session's cookie holds the handle of a grant and nothing else, so its size does not depend on the
user. Both are encrypted for this issuer, and a session for one resource: at another it does not
open.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.responses import Response

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import SealError
from mintage.server.cookies import OF_SITES, Cookies, LoginCookies
from mintage.server.sealed_text import open_text, seal_text
from mintage.site.resource import Resource
from mintage.web.cookie_header import only_cookies

MAX_ADDRESS: Final = 500  # characters of a path and a query to come back to
_MAX_VALUE: Final = 200
_MAX_KNOWN: Final = 2000


class BrowserLogin(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A login on its way to *upstream* and back to *address*, a path and query of *resource*.

    *choose*: whether the person asked to use another account.
    """

    state: str
    nonce: str
    code_verifier: str
    expires_at: int
    upstream: str
    resource: str
    address: str
    choose: bool


class _Session(msgspec.Struct, frozen=True, array_like=True):
    secret: bytes


_logins: msgspec.msgpack.Decoder[BrowserLogin] = msgspec.msgpack.Decoder(BrowserLogin)
_sessions: msgspec.msgpack.Decoder[_Session] = msgspec.msgpack.Decoder(_Session)


@dataclass(frozen=True, slots=True)
class BrowserCookies:
    """*lifetime*: seconds that a browser keeps a session's cookie."""

    cookies: Cookies
    issuer: str
    lifetime: int
    _known: BoundedMemory[tuple[str, str], bytes] = field(
        default_factory=lambda: BoundedMemory(_MAX_KNOWN), init=False, repr=False
    )

    @property
    def logins(self) -> LoginCookies[BrowserLogin]:
        """The logins under way."""
        context = f"browser login of {self.issuer} "
        return LoginCookies(self.cookies, OF_SITES, _logins, context)

    def set_session(self, response: Response, resource: Resource, secret: bytes) -> None:
        value = seal_text(
            _Session(secret),
            keys=self.cookies.keys,
            context=self._context(resource),
            random_bytes=self.cookies.random_bytes,
        )
        self.cookies.set(response, self._name(resource), value, seconds=self.lifetime)

    def session(self, headers: Iterable[tuple[bytes, bytes]], resource: Resource) -> bytes | None:
        """The secret of the session at *resource* that a request with *headers* brings."""
        sent = [value for name, value in headers if name == b"cookie"]
        value = only_cookies(sent).get(self._name(resource)) if sent else None
        if value is None or len(value) > _MAX_VALUE:
            return None
        known = self._known.get((resource.identifier, value))
        return known or self._open(value, resource)

    def clear_session(self, response: Response, resource: Resource) -> None:
        self.cookies.expire(response, self._name(resource))

    def _open(self, value: str, resource: Resource) -> bytes | None:
        try:
            opened = open_text(
                value, _sessions, keys=self.cookies.keys, context=self._context(resource)
            )
        except SealError:
            return None
        self._known[resource.identifier, value] = opened.secret
        return opened.secret

    def _name(self, resource: Resource) -> str:
        digest = hashlib.sha256(resource.path.encode()).hexdigest()
        return self.cookies.name(f"session-{digest[:16]}")

    def _context(self, resource: Resource) -> bytes:
        return f"browser session of {self.issuer} at {resource.path}".encode()
