"""An HTTP client that costs next to nothing, so that the server is what is measured.

One request at a time on each keep-alive connection; httptools parses the answers.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final, Self, cast
from urllib.parse import urlencode

import httptools

FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(slots=True)
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for found, value in self.headers if found == name]

    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


def request(
    method: str, path: str, host: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    """The bytes of a request, to be sent as often as one likes."""
    lines = {"host": host, **(headers or {})}
    if method == "POST":
        lines["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def form(
    path: str, host: str, fields: dict[str, str], headers: dict[str, str] | None = None
) -> bytes:
    return request("POST", path, host, FORM | (headers or {}), urlencode(fields).encode())


class Connection(asyncio.Protocol):
    """Open it with `open`. `send` raises ``ConnectionError`` where the server goes away."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._start()

    @classmethod
    async def open(cls, port: int) -> Self:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def send(self, data: bytes) -> Answer:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(str(exc or "closed by the server")))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        answer = Answer(parser.get_status_code(), self._headers, b"".join(self._body))
        if not parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self._start()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _start(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
