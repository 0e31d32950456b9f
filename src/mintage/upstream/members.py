"""Reads the members of a provider's answers, with one rule for each. Pure.

A member that Mintage needs is read strictly: it is there and has its type, or the answer is
refused. An optional member is read leniently: ``null`` and ``""`` mean that it is not there, a list
of one is its member, numbers may be strings of digits, and what still does not fit is left out.
Members without a rule are ignored.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from mintage.errors import UpstreamMisbehaved

_MAX_DIGITS: Final = 12

Read: TypeAlias = Callable[[object], Any]
"""(a value of the wrong or right type) → it in the right type; None where it can't be read."""


class Member(msgspec.Struct, frozen=True):
    """*read*: how it is read. *needed*: without it the answer is refused."""

    name: str
    read: Read
    needed: bool = False


def members(body: dict[str, Any], rules: Iterable[Member], *, of: str) -> dict[str, Any]:
    """The members of *body* that are there. Raises `UpstreamMisbehaved`, naming one of *of*."""
    found = {}
    for rule in rules:
        raw = body.get(rule.name)
        value = rule.read(raw if rule.needed else _alone(raw))
        if value is not None:
            found[rule.name] = value
        elif rule.needed:
            state = "is missing in" if raw in (None, "") else "can't be used in"
            raise UpstreamMisbehaved(f"{rule.name} {state} {of}")
    return found


def text(value: object) -> str | None:
    """A string that UTF-8 can encode, and not empty."""
    try:
        return value if isinstance(value, str) and value and value.encode() else None
    except UnicodeEncodeError:  # a lone surrogate
        return None


def token(value: object) -> str | None:
    """RFC 6749 Appendix A: printable ASCII; a line break here would end up in a header."""
    fits = isinstance(value, str) and value.isascii() and value.isprintable()
    return value if isinstance(value, str) and value and fits else None


def scopes(value: object) -> str | None:
    """Scopes with spaces between, or a list of them."""
    if isinstance(value, list):
        value = " ".join(filter(None, map(token, value)))
    return token(value)


def number(value: object) -> int | None:
    """A whole number that is not negative, or its digits in a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MAX_DIGITS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def flag(value: object) -> bool | None:
    """A truth value, or its name."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def words(value: object) -> tuple[str, ...] | None:
    """A list of strings, or one string. Other members of a list are left out."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list):
        return tuple(word for word in value if isinstance(word, str))
    return None


def url(*, plain: bool) -> Read:
    """An https URL without a fragment (RFC 6749 §3.1). *plain*: http is accepted too."""

    def read(value: object) -> str | None:
        return value if isinstance(value, str) and _is_endpoint(value, plain=plain) else None

    return read


def anything(value: object) -> Any:
    return value


def _alone(value: object) -> object:
    """*value*, or the one member of a list; None for an empty value."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list | dict):
        value = value[0]
    return None if value in ("", [], {}) else value


def _is_endpoint(value: str, *, plain: bool) -> bool:
    try:
        parts = urlsplit(value)
        well_formed = bool(parts.hostname) and parts.port != 0 and "#" not in value
    except ValueError:
        return False
    printable = value.isascii() and value.isprintable() and " " not in value
    known = parts.scheme == "https" or (plain and parts.scheme == "http")
    return well_formed and printable and known
