"""URLs as people write them in a configuration, and the queries of others."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote_plus, urlencode, urlsplit

from mintage.errors import ConfigError

_RESERVED: Final = re.compile("[^A-Za-z0-9_.~-]")
_only_unreserved: Final = re.compile("[A-Za-z0-9_.~-]*").fullmatch
# Between names and values, and between pairs, until all of them are escaped: no ASCII has them.
_EQUALS, _AND = "\ue000", "\ue001"
_ESCAPED: Final = {character: quote_plus(character) for character in map(chr, range(128))} | {
    _EQUALS: "=",
    _AND: "&",
}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def form_encoded(fields: Mapping[str, str]) -> str:
    """*fields* as ``application/x-www-form-urlencoded``, for a query or a body.

    It is what `urllib.parse.urlencode` returns, which takes a step for each character of a URL.
    """
    plain = "".join((*fields, *fields.values()))
    if _only_unreserved(plain):
        return "&".join(map("=".join, fields.items()))
    if not plain.isascii():
        return urlencode(fields)
    return _RESERVED.sub(_escaped, _AND.join(map(_EQUALS.join, fields.items())))


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPED[found[0]]


def whole_url(text: str, key: str, *, example: str, query: bool = False) -> SplitResult:
    """The parts of a URL with scheme and host, and without fragment or user name.

    *query*: it may have one. Raises `ConfigError` under *key*.
    """
    if not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(key, "holds a space or a character that no URL holds")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(key, f"is not a URL: {error}") from None
    if not parts.scheme or not parts.hostname:
        raise ConfigError(key, f"must be a whole URL, like {_meant(text) or example}")
    if parts.fragment or parts.username is not None or "#" in text or (not query and "?" in text):
        raise ConfigError(key, "must have no query, fragment or user name")
    return parts


def _meant(text: str) -> str | None:
    """*text* with a scheme, if it begins with a host: ``localhost:8000/mcp``."""
    rest = re.sub(r"^(https?:)?/*", "", text)
    host = re.match(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(?=[:/]|$)|localhost(?=[:/]|$)", rest)
    if host is None:
        return None
    return f"{'http' if host[0] in _LOOPBACK else 'https'}://{rest}"


def check_https(parts: SplitResult, key: str) -> None:
    """Raises `ConfigError` unless it is https, or http on this machine."""
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(key, "plain http is accepted for loopback hosts only; use https")
    if parts.scheme not in ("http", "https"):
        raise ConfigError(key, "must be an https URL")
