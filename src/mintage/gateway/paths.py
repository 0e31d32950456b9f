"""Finds the resource of a request's path in one reading: the canonical path. Pure.

The canonical path (RFC 3986 §6.2.2) is routed, checked by rules, and forwarded to the backend. A
path that another server could read as another resource's is refused.
"""

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Final, Generic, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from mintage.access.segments import decoded_segments, folded_segments
from mintage.endpoints import RESERVED
from mintage.errors import InvalidRequest

T = TypeVar("T")

Ambiguity: TypeAlias = Literal[
    "encoded-slash", "encoded-percent", "empty-segment", "unencoded-characters"
]
"""What a resource may allow in the part of a path that is below it."""

AMBIGUITIES: Final[tuple[Ambiguity, ...]] = get_args(Ambiguity)

_ALLOWED: Final = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]{}|^]|%[0-9A-Fa-f]{2})*")
_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?")
_UNENCODED: Final = re.compile(rb"[\[\]{}|^]")
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(rb"[A-Za-z0-9\-._~]")
# Encoded controls and backslashes, and a percent sign that begins a second escape.
_NEVER: Final = re.compile(rb"%(?:[01][0-9A-F]|7F|5C|25[0-9A-Fa-f]{2})")
# Servlet containers cut off what follows a semicolon, so that "/..;x/" goes up.
_EMPTY_NAME: Final = re.compile(rb"/\.{0,2}(?:;|%3B)")
_EMPTY_FIRST: Final = re.compile(r"/(?:/|%2F)")
# Letters and digits, which need no encoding; a dot, for segments that go up.
_NEEDLESS: Final = re.compile(rb"%(?:3[0-9]|[46][1-9a-f]|[57][0-9a]|2e)", re.IGNORECASE)


class Match(msgspec.Struct, Generic[T], frozen=True):
    """The resource of a path, and *rest*: the part of the canonical path below the resource."""

    target: T
    rest: str


class Reading(msgspec.Struct, frozen=True):
    """A canonical path, and the parts of it that two servers could read differently."""

    path: str
    odd: frozenset[Ambiguity] = frozenset()


def read(raw_path: bytes) -> Reading:
    """*raw_path* with unreserved characters decoded and escapes in capitals (RFC 3986 §6.2.2).

    Raises `InvalidRequest` for a path that no resource may allow: dot segments, encoded control
    characters and backslashes, escapes of escapes, and what is not UTF-8.
    """
    if _PLAIN.fullmatch(raw_path):
        return Reading(raw_path.decode("ascii"))
    if not _ALLOWED.fullmatch(raw_path):
        raise InvalidRequest(
            "the path must be percent-encoded: it holds characters that no path may hold"
        )
    path = _UNENCODED.sub(_escaped, _ENCODED.sub(_canonical, raw_path))
    if _NEVER.search(path):
        raise InvalidRequest("the path must hold no encoded control characters or backslashes")
    if _EMPTY_NAME.search(path):
        raise InvalidRequest("the path must have a name before each semicolon")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the path must be encoded as UTF-8") from None
    reading = path.decode("ascii")
    if any(segment.strip(" ") in (".", "..") for segment in decoded_segments(reading)):
        raise InvalidRequest("the path must have no dot segments")
    return Reading(reading, frozenset(_oddities(raw_path, path)))


def _canonical(match: re.Match[bytes]) -> bytes:
    char = bytes.fromhex(match[1].decode())
    return char if _UNRESERVED.fullmatch(char) else match[0].upper()


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(match[0])


def _oddities(raw_path: bytes, path: bytes) -> list[Ambiguity]:
    found: dict[Ambiguity, bool] = {
        "encoded-slash": b"%2F" in path,
        "encoded-percent": b"%25" in path,
        "empty-segment": b"//" in path,
        "unencoded-characters": _UNENCODED.search(raw_path) is not None,
    }
    return [name for name, is_there in found.items() if is_there]


def check_needs_no_decoding(raw_path: bytes) -> None:
    """Check a path that another proxy forwards as it came, and not in the form that was checked.

    Raises `InvalidRequest` if a letter, a digit or a dot is encoded: the backend may not decode it
    before it routes.
    """
    if _NEEDLESS.search(raw_path):
        raise InvalidRequest("write letters, digits and dots of the path as they are")


def begins_like_ours(path: str) -> bool:
    """Whether *path*, relative to the issuer, is in the authorization server's own part."""
    return unquote(re.split("[/;]", path, maxsplit=2)[1]) in RESERVED if path else False


def nothing_ambiguous(_: object) -> Collection[str]:
    """No ambiguity is allowed below a resource."""
    return ()


def route(
    raw_path: bytes,
    resources: Mapping[str, T],
    allowed: Callable[[T], Collection[str]] = nothing_ambiguous,
) -> Match[T] | None:
    """The longest resource path that *raw_path* is in, in whole segments; None if there is none.

    *allowed*: which ambiguities a resource permits below it. Raises `InvalidRequest` as `read`
    does, for an ambiguity that is not allowed, and for a path that another server could take for
    another resource's: ``/files%2Fadmin`` must not pass with a token for ``/``.
    """
    reading = read(raw_path)
    path = reading.path
    found = [at for at in resources if path == at or path.startswith(f"{at}/")]
    if not found:
        if reading.odd:
            raise InvalidRequest(_refused(reading.odd))
        return None
    longest = max(found, key=len)
    if not reading.odd.issubset(allowed(resources[longest])):
        raise InvalidRequest(_refused(reading.odd))
    _check_no_other(path, longest, resources)
    return Match(resources[longest], path[len(longest) :])


def _refused(odd: Collection[str]) -> str:
    return f"the path can be read in two ways ({', '.join(sorted(odd))}); write it another way"


def _check_no_other(path: str, found: str, resources: Collection[str]) -> None:
    """Raises `InvalidRequest` if another server could find another resource than *found*."""
    other = read_leniently(path, resources) != _folded(found)
    # A router whose pattern is "/files/<path>" takes "/files//x" for what is around "/files".
    if not other and _EMPTY_FIRST.match(path, len(found)):
        other = any(found.startswith(f"{around}/") for around in resources)
    if other:
        raise InvalidRequest("the path could mean another resource of this server")


def read_leniently(path: str, resources: Collection[str]) -> tuple[str, ...] | None:
    """The folded segments of the longest resource that a lenient server finds in *path*."""
    have = folded_segments(path)
    found = [at for at in map(_folded, resources) if have[: len(at)] == at]
    return max(found, key=len, default=None)


_folded = lru_cache(maxsize=256)(folded_segments)
