"""Which of the provider's claims an access token contains, within the limits of a token.

A token over 16 KiB would be refused everywhere, and so would one with deeply nested claims. A claim
that does not fit is left out, and the log names it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from mintage.jwt.claims import MAX_DEPTH, check_depth

MAX_CLAIMS: Final = 8 * 1024  # bytes of JSON, of all claims together


def told_claims(
    names: Iterable[str], said: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The claims of *names* that fit, and why each of the others that *said* has is left out."""
    told: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    room = MAX_CLAIMS
    for name in names:
        if name not in said or name in told:
            continue
        size = _size(name, said[name])
        if size is None:
            left_out[name] = "is no JSON that a token may hold, or is nested too deeply"
        elif size > room:
            left_out[name] = f"has {size} bytes, more than the {room} that are left"
        else:
            told[name] = said[name]
            room -= size
    return told, left_out


def _size(name: str, value: object) -> int | None:
    """Bytes of JSON; None for what a token can't contain."""
    try:
        check_depth(value, MAX_DEPTH - 2)
        return len(msgspec.json.encode({name: value}))
    except (ValueError, TypeError, RecursionError):
        return None
