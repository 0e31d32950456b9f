"""After a proof was accepted: the request for the application, and the next nonce."""

from contextvars import ContextVar
from typing import Final

from starlette.types import Message, Scope, Send

from mintage.resource.bearer import credential

PROVEN: Final[ContextVar[str | None]] = ContextVar("proven", default=None)
"""The token of the request under way, if it is bound to a key and its proof was accepted."""


def with_next_nonce(send: Send, nonce: str) -> Send:
    """*send*, which tells the client the *nonce* for its next proof."""
    header = (b"dpop-nonce", nonce.encode())

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], header]}
        await send(message)

    return told


def as_bearer(scope: Scope) -> tuple[Scope, str]:
    """(a request as its application reads it, its token). Its proof was checked.

    Frameworks know the scheme ``Bearer`` alone. The proof is left out: it was for Mintage.
    """
    headers = scope["headers"]
    token = credential(headers)[1]
    plain = (b"authorization", b"Bearer " + token.encode("latin-1"))
    kept = [
        plain if header[0] == b"authorization" else header
        for header in headers
        if header[0] != b"dpop"
    ]
    return {**scope, "headers": kept}, token
