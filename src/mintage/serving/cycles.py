"""A response to a client of HTTP/1.0, which does not support chunks."""

from typing import Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_WITHOUT_BODY: Final = (204, 304)


class PlainCycle(RequestResponseCycle):
    """A response without a length ends when the connection closes (RFC 9112 §6.3)."""

    _until_close = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            headers = [
                (name, value)
                for name, value in message.get("headers", ())
                if name.lower() != b"transfer-encoding"
            ]
            message = {**message, "headers": headers}
            named = any(name.lower() == b"content-length" for name, _ in headers)
            if not named and message["status"] not in _WITHOUT_BODY:
                self._until_close = True
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and self._until_close:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
