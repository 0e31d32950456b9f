"""Refuses requests of sizes that no proper client sends, before anything is parsed."""

from itertools import chain
from typing import Final

from starlette.types import Scope

from mintage.errors import InvalidRequest, UriTooLong

MAX_TARGET: Final = 16 * 1024  # bytes of path and query
MAX_HEADERS: Final = 64 * 1024  # bytes of all names and values together
MAX_HEADER_COUNT: Final = 200


class HeadersTooLarge(InvalidRequest):
    status = 431


def check_size(scope: Scope) -> None:
    """Raises `UriTooLong` or `HeadersTooLarge` (RFC 9110 §15.5.15, RFC 6585 §5)."""
    target = len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b""))
    if target > MAX_TARGET:
        raise UriTooLong(
            f"path and query must be at most {MAX_TARGET} bytes: send a long request as a POST"
        )
    headers = scope["headers"]
    if len(headers) > MAX_HEADER_COUNT:
        raise HeadersTooLarge(f"send at most {MAX_HEADER_COUNT} headers")
    if len(b"".join(chain.from_iterable(headers))) > MAX_HEADERS:  # the quickest way to a sum
        raise HeadersTooLarge(
            f"the headers must be at most {MAX_HEADERS} bytes: clear the cookies of this site"
        )
