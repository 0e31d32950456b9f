"""Redirect URIs: which may be registered, and which request matches one. Pure.

Two programs must never read one URI as two places. So an unusual URI is refused before it is
parsed, and URIs are compared byte by byte (RFC 9700 §2.1). The one exception is the port of a
loopback address: always for an IP literal (RFC 8252 §7.3), and for the name ``localhost`` only if
the client registered it without a port.
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from mintage.clients.known import KNOWN_SCHEMES
from mintage.urls import form_encoded

MAX_LENGTH: Final = 512

# RFC 3986's characters, without the ones that parsers disagree about.
_PLAIN: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]!$&'()*+,;=%@]+")
_DOT_SEGMENT: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_IPV6: Final = re.compile(r"\[[0-9a-f:]+\]")
# A browser reads a name whose last label is a number as an IPv4 address (WHATWG URL §3.5).
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LOOPBACK: Final = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost)(?P<port>:[0-9]{1,5})?(?=/|\?|$)"
)
_REVERSE_DOMAIN: Final = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class RedirectUri(msgspec.Struct, frozen=True):
    """A redirect URI that may be registered. The constructor checks it."""

    text: str

    def __post_init__(self) -> None:
        check_redirect_uri(self.text)


def check_redirect_uri(text: str) -> None:
    """Raises ``ValueError``, with a sentence, for a URI that no client may register."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a redirect URI has at most {MAX_LENGTH} characters")
    if not _PLAIN.fullmatch(text):
        raise ValueError(
            "a redirect URI holds no spaces, backslashes, fragment or non-ASCII characters"
        )
    if _BAD_PERCENT.search(text):
        raise ValueError("a redirect URI has whole percent escapes")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("a redirect URI is a well-formed absolute URI") from None
    scheme = text.partition(":")[0]
    if not parts.scheme or scheme != scheme.lower():
        raise ValueError("a redirect URI begins with its scheme, in lower case")
    if _DOT_SEGMENT.search(parts.path):
        raise ValueError("a redirect URI has no . or .. segments")
    if scheme in ("http", "https"):
        _check_web(parts, port)
    elif not is_app_scheme(scheme):
        raise ValueError(
            "a redirect URI is https, http on a loopback address, or a private-use scheme "
            "that holds a dot, like com.example.app:/callback (RFC 8252 §7.1)"
        )
    elif "@" in parts.netloc:
        raise ValueError("a redirect URI has no user name")


def is_app_scheme(scheme: str) -> bool:
    """Whether applications on users' own machines may register *scheme*, which is in lower case."""
    return scheme in KNOWN_SCHEMES or _REVERSE_DOMAIN.fullmatch(scheme) is not None


def _check_web(parts: SplitResult, port: int | None) -> None:
    if "@" in parts.netloc:
        raise ValueError("a redirect URI has no user name")
    host = parts.netloc.rsplit(":", 1)[0] if port is not None else parts.netloc
    if not is_host(host):
        raise ValueError("a redirect URI has a host, in lower case (punycode where needed)")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("a redirect URI has a port from 1 to 65535, or none")
    if "//" in parts.path:
        raise ValueError("a redirect URI has no empty path segments")
    if parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        raise ValueError("a redirect URI on plain http is for loopback addresses only")


def is_host(host: str) -> bool:
    """Whether every program reads *host* alike: a plain name, or an address in canonical form."""
    try:
        if _IPV6.fullmatch(host):
            address = IPv6Address(host[1:-1])
            return f"[{address}]" == host and address.ipv4_mapped is None
        if _NUMBER.fullmatch(host):
            return str(IPv4Address(host)) == host
    except AddressValueError:
        return False
    return _NAME.fullmatch(host) is not None and ".." not in host


def matches(registered: RedirectUri, requested: str) -> bool:
    """Whether *requested* is the registered URI: the same bytes, except for a loopback port."""
    if registered.text == requested:
        return True
    ours, theirs = _LOOPBACK.match(registered.text), _LOOPBACK.match(requested)
    if ours is None or theirs is None or not _takes_any_port(ours):
        return False
    try:
        check_redirect_uri(requested)
    except ValueError:
        return False
    return _without_port(ours) == _without_port(theirs)


def _takes_any_port(registered: re.Match[str]) -> bool:
    """Whether the port of a ``localhost`` URI may differ: only if it was registered without a port.

    A resolver decides where the name leads, so a client that registered a port must use it. Without
    a port the URI would mean port 80, where no such program listens, so the client means any free
    port.
    """
    return registered["host"] != "localhost" or registered["port"] is None


def _without_port(loopback: re.Match[str]) -> tuple[str, str]:
    return loopback["host"], loopback.string[loopback.end() :]


def is_loopback(text: str) -> bool:
    """Whether the URI leads to a program on the user's own machine."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")


def is_web_page(text: str) -> bool:
    """Whether the URI leads to a server elsewhere, and to no program on the user's machine."""
    return text.startswith("https://") and not is_loopback(text)


def display_host(text: str) -> str:
    """Where the URI leads, for a person: its host, or the app's own scheme, like ``cursor:``."""
    parts = urlsplit(text)
    if parts.scheme in ("http", "https"):
        return parts.netloc
    return f"{parts.scheme}:"


def hosts_of(uris: Iterable[RedirectUri]) -> tuple[str, ...]:
    """Where *uris* lead, each place once (see `display_host`)."""
    return tuple(dict.fromkeys(display_host(uri.text) for uri in uris))


def append_query(uri: str, parameters: dict[str, str]) -> str:
    """*uri* with *parameters* added to its query (RFC 6749 §3.1.2)."""
    return f"{uri}{'&' if '?' in uri else '?'}{form_encoded(parameters)}"
