"""Pages on other sites may call what programs call, as MCP Inspector does (CORS, RFC 9700 §2.6).

Any origin may, and that gives nothing away: none of it looks at cookies. A script needs the
client's own codes and tokens, as every other client does. What a person's browser is sent to
(consent, above all) is left out: there the cookie counts.
"""

from typing import Final

from starlette.responses import Response
from starlette.types import Message, Scope, Send

_ANYBODY: Final = [
    (b"access-control-allow-origin", b"*"),
    # "*" leaves Authorization out, and some webviews do not know it.
    (
        b"access-control-expose-headers",
        b"WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-Id, *",
    ),
]

PREFLIGHT: Final = Response(
    status_code=204,
    headers={
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": (
            "Authorization, Content-Type, Accept, Last-Event-ID, "
            "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, *"
        ),
        "access-control-max-age": "7200",
    },
)


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks on its own behalf, without the credentials of what will follow."""
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return {b"origin", b"access-control-request-method"} <= names


def readable(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The *headers* of an answer that any page may read.

    A backend's own word on it is replaced: two answers to one question are none.
    """
    return [h for h in headers if not h[0].startswith(b"access-control-")] + _ANYBODY


def for_any_origin(send: Send) -> Send:
    """*send*, with each answer `readable` from any page."""

    async def shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": readable(message["headers"])}
        await send(message)

    return shared
