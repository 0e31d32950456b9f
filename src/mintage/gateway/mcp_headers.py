"""What an MCP request says about itself in its headers (MCP 2026-07-28, transports). Pure.

The headers repeat the body. Rules use the body, and a request whose headers differ from it is
refused. The headers alone decide only if the body is not available, because another proxy asks, and
if the operator says that the backend compares the two.
"""

import base64
import binascii
import re
from typing import Final

from mintage.errors import InvalidRequest
from mintage.gateway.mcp_messages import Asked

HEADER_MISMATCH: Final = -32020  # JSON-RPC's code for it (MCP 2026-07-28)
MCP_HEADERS: Final = frozenset(
    {b"mcp-method", b"mcp-name", b"mcp-protocol-version", b"mcp-session-id"}
)
_MIRRORED_SINCE: Final = "2026-07-28"
_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_JSON: Final = re.compile(r'application/json[ \t]*(;[ \t]*charset="?utf-8"?[ \t]*)?')
_SENTINEL: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=")
_MIRRORS_A_NAME: Final = frozenset({"tools/call", "prompts/get", "resources/read"})


class HeaderMismatch(InvalidRequest):
    """The headers of an MCP request differ from its body. *id*: of the message."""

    stage = "rules"

    def __init__(self, advice: str, asked: Asked) -> None:
        super().__init__(advice)
        self.id = asked.id


def check_agreement(headers: list[tuple[bytes, bytes]], messages: tuple[Asked, ...]) -> None:
    """Refuse headers that differ from the body.

    From revision 2026-07-28 on they must be present, and the body has one message. Before that they
    are optional. Raises `InvalidRequest`, which is a `HeaderMismatch` if the two differ.
    """
    version = _version(headers)
    method, name = (_plain(_one(headers, header)) for header in (b"mcp-method", b"mcp-name"))
    mirrored = version is not None and version >= _MIRRORED_SINCE
    if mirrored and len(messages) > 1:
        raise InvalidRequest(f"a batch is no message of revision {version}: send one at a time")
    for asked in messages:
        if asked.revision is not None and version is not None and asked.revision != version:
            raise HeaderMismatch("MCP-Protocol-Version must be the version in the body", asked)
        required = mirrored and asked.id is not None and asked.method is not None
        if (method is not None or required) and method != asked.method:
            raise HeaderMismatch("Mcp-Method must be the method in the body", asked)
        named = asked.method in _MIRRORS_A_NAME
        if (required and named and name is None) or (name is not None and name not in asked.names):
            raise HeaderMismatch("Mcp-Name must be the name or URI in the body", asked)


def mirrored(headers: list[tuple[bytes, bytes]], *, method: str) -> tuple[str | None, str | None]:
    """(``Mcp-Method``, ``Mcp-Name``) of a request whose backend compares them with the body.

    Only a POST has a message. Raises `InvalidRequest` for a POST in a revision that does not
    require the headers, without ``Mcp-Method``, or with one of them twice. A proxy may have joined
    two lines with a comma, so a comma is refused.
    """
    if method != "POST":
        return None, None
    version = _version(headers)
    if version is None or version < _MIRRORED_SINCE:
        raise InvalidRequest(
            f"this resource has rules for MCP methods: use MCP-Protocol-Version {_MIRRORED_SINCE} "
            "or later"
        )
    operation, name = _one(headers, b"mcp-method"), _one(headers, b"mcp-name")
    if operation is None:
        raise InvalidRequest("Mcp-Method is missing: send the method of the message in it")
    if "," in operation or (name is not None and "," in name):
        raise InvalidRequest("Mcp-Method and Mcp-Name must be given once: encode a comma as base64")
    return _plain(operation), _plain(name)


def check_is_json(headers: list[tuple[bytes, bytes]]) -> None:
    """Refuse a body that a backend could read as something other than JSON in UTF-8."""
    kind = (_one(headers, b"content-type") or "").lower()
    if not _JSON.fullmatch(kind):
        raise InvalidRequest("Content-Type must be application/json")
    if (_one(headers, b"content-encoding") or "identity").lower() != "identity":
        raise InvalidRequest("the body must not be compressed here: leave Content-Encoding out")


def check_once(names: list[bytes]) -> None:
    """Refuse an MCP header that comes twice: servers differ in which one they read."""
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"{twice.decode()} must be given once")


def _version(headers: list[tuple[bytes, bytes]]) -> str | None:
    version = _one(headers, b"mcp-protocol-version")
    if version is not None and not _VERSION.fullmatch(version):
        raise InvalidRequest("MCP-Protocol-Version must be one date, like 2026-07-28")
    return version


def _one(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = [value for key, value in headers if key.lower() == name]
    if len(found) > 1:
        raise InvalidRequest(f"{name.decode()} must be given once")
    return found[0].decode("latin-1").strip(" \t") if found else None


def _plain(value: str | None) -> str | None:
    """*value* without the wrapper for characters that a header can't contain."""
    wrapped = None if value is None else _SENTINEL.fullmatch(value)
    if wrapped is None:
        return value
    try:
        return base64.b64decode(wrapped[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequest("an Mcp header must hold whole base64 of UTF-8") from None
