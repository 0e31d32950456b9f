"""From a request's path to its resource. What two servers could read differently is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

from mintage.errors import InvalidRequest

T = TypeVar("T")

_OURS: Final = frozenset(
    {
        ".well-known",
        "authorize",
        "callback",
        "consent",
        "healthz",
        "introspect",
        "jwks",
        "readyz",
        "register",
        "revoke",
        "token",
        "verify",
    }
)

_ALLOWED: Final = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
# Encoded: NUL and controls, %, ., /, \ and DEL. Once decoded they would mean something else.
_DECEPTIVE: Final = re.compile(rb"%(?:[01][0-9a-f]|25|2e|2f|5c|7f)", re.IGNORECASE)
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(rb"[A-Za-z0-9\-._~]")
# Servlet containers cut off what follows a semicolon, so that "/..;x/" goes up.
_EMPTY_OR_DOTS: Final = re.compile(rb"//|/\.{1,2}(?:/|$)|/\.{0,2}(?:;|%3b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """The resource of a path, and what of the path goes on to its backend."""

    target: T
    rest: str


def check_path(raw_path: bytes) -> None:
    """Raises `InvalidRequest` for a path that two servers could read differently.

    Those are empty and dot segments and encoded separators, plain, encoded or encoded twice.
    """
    if not _ALLOWED.fullmatch(raw_path):
        raise InvalidRequest(
            "the path must be percent-encoded: it holds characters that no path may hold"
        )
    if _DECEPTIVE.search(raw_path) or _EMPTY_OR_DOTS.search(raw_path):
        raise InvalidRequest(
            "the path must have no empty or dot segments and no encoded separators"
        )


def as_read(raw_path: bytes) -> bytes:
    """*raw_path* with letters, digits and ``-._~`` as themselves (RFC 3986 §6.2.2.2)."""
    return _ENCODED.sub(_unreserved, raw_path) if b"%" in raw_path else raw_path


def _unreserved(match: re.Match[bytes]) -> bytes:
    char = bytes.fromhex(match[1].decode())
    return char if _UNRESERVED.fullmatch(char) else match[0]


def begins_like_ours(path: str) -> bool:
    """Whether *path*, which stands below the issuer, is in the authorization server's own part."""
    return unquote(re.split("[/;]", path, maxsplit=2)[1]) in _OURS if path else False


def route(raw_path: bytes, resources: Mapping[str, T]) -> Match[T] | None:
    """The longest resource path that *raw_path* is in, whole segments only; None for none.

    Raises `InvalidRequest` as `check_path` does: ``/mcp/..%2fadmin`` must not reach anything.
    """
    check_path(raw_path)
    path = raw_path.decode("ascii")
    found = [at for at in resources if path == at or path.startswith(f"{at}/")]
    if not found:
        return None
    longest = max(found, key=len)
    return Match(resources[longest], path[len(longest) :])
