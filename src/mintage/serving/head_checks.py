"""What is refused of a head that the parser has read whole. Pure."""

from typing import Final

from mintage.serving.known_requests import RawHeaders
from mintage.serving.refusals import HEAD_TOO_LARGE, MALFORMED, WRONG_VERSION, Refusal
from mintage.serving.settings import ServerSection

_PER_LINE: Final = 4  # bytes of a header line that are neither name nor value
_MAX_WEBSOCKET_LINE: Final = 8000  # bytes: what the library of WebSockets takes
_MAX_WEBSOCKET_HEADERS: Final = 120


def is_too_large(url: bytes, headers: RawHeaders, bounds: ServerSection, *, most: int) -> bool:
    """Whether a head, of at most *most* bytes, is larger than *bounds* allow."""
    if len(headers) > bounds.max_headers:
        return True
    if most <= bounds.max_header_bytes and most <= bounds.max_head_bytes:
        return False
    sizes = [len(name) + len(value) + _PER_LINE for name, value in headers]
    all_of_it = len(url) + sum(sizes)
    return all_of_it > bounds.max_head_bytes or max(sizes, default=0) > bounds.max_header_bytes


def refusal_of_version(version: str, headers: RawHeaders) -> Refusal | None:
    """Why a request of another version than HTTP/1.1 is not served. None: it is HTTP/1.0."""
    if version != "1.0":
        return WRONG_VERSION
    if any(name == b"transfer-encoding" for name, _ in headers):
        return MALFORMED  # RFC 9112 §6.1: a proxy before may read it differently
    return None


def refusal_of_websocket(
    method: bytes, version: str, url: bytes, headers: RawHeaders
) -> Refusal | None:
    """Why a WebSocket is not opened by such a head. None: it may be."""
    bodiless = not any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )
    if method != b"GET" or version != "1.1" or not bodiless:
        return MALFORMED
    lines = [len(url), *(len(name) + len(value) for name, value in headers)]
    if max(lines) > _MAX_WEBSOCKET_LINE or len(lines) > _MAX_WEBSOCKET_HEADERS:
        return HEAD_TOO_LARGE
    return None
