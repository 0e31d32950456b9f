"""What an MCP request says of itself in its headers (MCP 2026-07-28, transports).

The headers mirror the body. From that revision on a server must compare the two and refuse what
differs, so a gateway may decide by the headers alone, and must not where an older revision
is spoken: there nobody looks whether they are true.
"""

import base64
import binascii
import re
from typing import Final

from mintage.errors import InvalidRequest

_MIRRORED_SINCE: Final = "2026-07-28"
_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_SENTINEL: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=")


def mirrored(headers: list[tuple[bytes, bytes]], *, method: str) -> tuple[str | None, str | None]:
    """(``Mcp-Method``, ``Mcp-Name``) of a request, to be believed.

    Only a POST carries a message. Raises `InvalidRequest` for a POST in a revision that does
    not bind them to the body, without ``Mcp-Method``, or with one of them twice.
    """
    if method != "POST":
        return None, None
    version = _one(headers, b"mcp-protocol-version")
    if version is None or not _VERSION.fullmatch(version) or version < _MIRRORED_SINCE:
        raise InvalidRequest(
            f"this resource has rules for MCP methods: use MCP-Protocol-Version {_MIRRORED_SINCE} "
            "or later"
        )
    operation = _one(headers, b"mcp-method")
    if operation is None:
        raise InvalidRequest("Mcp-Method is missing: send the method of the message in it")
    return _plain(operation), _plain(_one(headers, b"mcp-name"))


def _one(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = [value for key, value in headers if key.lower() == name]
    if len(found) > 1:
        raise InvalidRequest(f"{name.decode()} must be given once")
    return found[0].decode("latin-1").strip(" \t") if found else None


def _plain(value: str | None) -> str | None:
    """*value* without the wrapping that carries what a header can't hold as it is."""
    wrapped = None if value is None else _SENTINEL.fullmatch(value)
    if wrapped is None:
        return value
    try:
        return base64.b64decode(wrapped[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequest("an Mcp header must hold whole base64 of UTF-8") from None
