"""The ``Cookie`` and ``Set-Cookie`` headers, read by their exact ASCII octets (RFC 6265). Pure.

Some parsers strip everything that Unicode calls blank. They remove a byte A0 before
``__Host-login``, and browsers let any subdomain set a cookie with that byte. So only space and tab
are blank here, and a cookie whose name has other octets is ignored.
"""

import re
from collections.abc import Iterable
from typing import Final

_BLANK: Final = b" \t"
_NAME: Final = re.compile(rb"[!-:<>-~]+")  # printable ASCII without "=" and ";"


def cookie_pairs(values: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """(name, value) of each cookie in the ``Cookie`` headers *values*, in order.

    Cookies without a name, or with octets other than printable ASCII in it, are left out.
    """
    found = []
    for header in values:
        for pair in header.split(b";"):
            name, equals, value = pair.strip(_BLANK).partition(b"=")
            name = name.rstrip(_BLANK)
            if equals and _NAME.fullmatch(name):
                found.append((name, value.lstrip(_BLANK)))
    return found


def only_cookies(values: Iterable[bytes]) -> dict[str, str]:
    """The cookies of `cookie_pairs` by name. A name that comes with two values is left out."""
    found: dict[str, str] = {}
    twice = set()
    for raw_name, raw_value in cookie_pairs(values):
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if found.setdefault(name, value) != value:
            twice.add(name)
    return {name: value for name, value in found.items() if name not in twice}


def set_cookie_name(value: bytes) -> bytes | None:
    """The name in a ``Set-Cookie`` header; None if it has none, or one with other octets.

    A browser sends a cookie without a name back as its value alone, which may look like another
    cookie's name and value.
    """
    name, equals, _ = value.partition(b";")[0].partition(b"=")
    name = name.strip(_BLANK)
    return name if equals and _NAME.fullmatch(name) else None
