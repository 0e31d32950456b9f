"""Lets pages on other sites call the endpoints for programs (CORS, RFC 9700 §2.6).

MCP Inspector does so. Any origin may. That is safe, because none of these endpoints reads cookies:
a script needs the client's own codes and tokens, as every other client does. The pages for a user's
browser (consent, above all) are excluded, because they read a cookie.
"""

from collections.abc import Awaitable
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Scope, Send

_EXPOSED: Final = (
    b"WWW-Authenticate, DPoP-Nonce, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, "
    b"X-Request-Id, *"
)
_ANYBODY: Final = [
    (b"access-control-allow-origin", b"*"),
    # "*" leaves Authorization out, and some webviews do not know it.
    (b"access-control-expose-headers", _EXPOSED),
]

PREFLIGHT: Final = Response(
    status_code=204,
    headers={
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": (
            "Authorization, DPoP, Content-Type, Accept, Last-Event-ID, "
            "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, *"
        ),
        "access-control-max-age": "7200",
    },
)


def is_preflight(scope: Scope) -> bool:
    """Whether it is a browser's preflight request, which has no credentials."""
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return {b"origin", b"access-control-request-method"} <= names


def readable(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The *headers* of a response that any page may read.

    The backend's own CORS headers are replaced: a browser accepts only one answer.
    """
    if b"access-control-" not in b" ".join(dict(headers)):  # seldom one has, and this is faster
        return [*headers, *_ANYBODY]
    return [h for h in headers if not h[0].startswith(b"access-control-")] + _ANYBODY


def private(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The *headers* of a response to a cookie: for that browser, and for its own pages alone.

    A page of another origin that could read it would need no more than the browser's own cache. No
    shared cache keeps it, unless the backend says that it may.
    """
    kept = [h for h in headers if not h[0].startswith(b"access-control-")]
    kept.append((b"vary", b"Cookie"))
    if not any(name == b"cache-control" for name, _ in headers):
        kept.append((b"cache-control", b"private"))
    return kept


def for_any_origin(send: Send) -> Send:
    """*send*, with each response `readable` from any page."""

    def shared(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": readable(message["headers"])}
        return send(message)

    return shared
