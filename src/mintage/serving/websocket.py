"""A WebSocket that counts as a connection, and a request whose upgrade is declined."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mintage.serving.places import Places


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A client's WebSocket. It takes up a place until it ends."""

    places: ClassVar[Places]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._has_place = self.places.take(self._peer()) is None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._has_place:
            self._has_place = False
            self.places.give(self._peer())
        super().connection_lost(exc)

    def _peer(self) -> str | None:
        return self.client[0] if self.client else None


def without_offer(
    method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The head of a request without ``Upgrade``, and without its name in ``Connection``."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        if name in (b"upgrade", b"http2-settings"):
            continue
        kept = value
        if name == b"connection":
            options = [option.strip(b" \t") for option in value.split(b",")]
            kept = b", ".join(
                option
                for option in options
                if option.lower() not in (b"upgrade", b"http2-settings")
            )
            if not kept:
                continue
        lines.append(b"%b: %b" % (name, kept))
    return b"\r\n".join(lines) + b"\r\n\r\n"
