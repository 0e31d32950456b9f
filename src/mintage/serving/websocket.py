"""A WebSocket that counts as a connection. Imported at the first one: most servers have none."""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mintage.serving.places import Places


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A client's WebSocket. It takes up a place until it ends."""

    def __init__(self, places: Places, **given: Any) -> None:
        super().__init__(**given)
        self._places = places

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._has_place = self._places.take(self._peer()) is None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._has_place:
            self._has_place = False
            self._places.give(self._peer())
        super().connection_lost(exc)

    def _peer(self) -> str | None:
        return self.client[0] if self.client else None
