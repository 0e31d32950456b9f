"""Form and query parameters, parsed once and strictly (RFC 6749 §3.1, appendix B)."""

import re
from collections.abc import Mapping
from operator import itemgetter, methodcaller
from string import hexdigits
from typing import Final, TypeAlias

from mintage.errors import InvalidRequest

Form: TypeAlias = Mapping[str, tuple[str, ...]]

MAX_FIELDS: Final = 64
_parted: Final = methodcaller("partition", "=")
_name_of, _value_of = itemgetter(0), itemgetter(2)
# The standard library takes more steps for each escape, and a redirect_uri has some.
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES: Final = {
    (high + low).encode(): bytes.fromhex(high + low) for high in hexdigits for low in hexdigits
}
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_form(body: bytes) -> Form:
    """The fields of an ``application/x-www-form-urlencoded`` body, each value in order.

    Raises `InvalidRequest` on a broken percent escape, on bytes that are not UTF-8, and on more
    than `MAX_FIELDS` fields. The caller limits the size.
    """
    return _parse(body, "The form")


def parse_query(raw: bytes) -> Form:
    """The parameters of a raw query string; as strict as `parse_form`."""
    return _parse(raw, "The query")


def one(form: Form, name: str) -> str:
    """The only value of *name*. Raises `InvalidRequest` if it is missing, empty or repeated."""
    values = form.get(name)
    if values is None or len(values) != 1 or not values[0]:
        optional(form, name)  # raises if it is repeated
        raise InvalidRequest(f"{name} is missing: send it, once")
    return values[0]


def optional(form: Form, name: str) -> str | None:
    """The value of *name*; None if it is absent or empty, which RFC 6749 §3.1 calls the same.

    Raises `InvalidRequest` if it comes twice, even with one value.
    """
    values = form.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest(f"{name} must be given once")
    return values[0] or None


def _parse(raw: bytes, what: str) -> Form:
    if not raw:
        return {}
    # Counted before anything is split: a body of ampersands costs nothing.
    if raw.count(b"&") >= MAX_FIELDS:
        raise InvalidRequest(f"{what} may have at most {MAX_FIELDS} fields: send fewer")
    escaped = b"%" in raw
    if escaped and _BAD_PERCENT.search(raw):
        raise InvalidRequest(
            f"{what} has a percent sign without two hexadecimal digits: send %25 for %"
        )
    try:
        sent = raw.replace(b"+", b" ").decode().split("&")
        pairs = [*map(_unescaped if escaped else _parted, filter(None, sent))]
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what} must be percent-encoded UTF-8") from None
    # Without a step of Python for each: the inner zip makes each value a tuple of one.
    fields = dict(zip(map(_name_of, pairs), zip(map(_value_of, pairs))))  # noqa: B905
    if len(fields) < len(pairs):  # seldom is one repeated
        for name in fields:
            fields[name] = tuple(value for other, _, value in pairs if other == name)
    return fields


def _unescaped(field: str) -> tuple[str, str, str]:
    """*field* in its parts, without its percent escapes, each of two hexadecimal digits."""
    name, equals, value = parts = field.partition("=")
    return (_text_of(name), equals, _text_of(value)) if "%" in field else parts


def _text_of(escaped: str) -> str:
    return _ESCAPE.sub(_byte_of, escaped.encode()).decode()


def _byte_of(escape: re.Match[bytes]) -> bytes:
    return _BYTES[escape[1]]
