"""A real server with bounds, in front of an application that shows what it was sent."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.serving.places import Places
from mintage.serving.protocol import protocols
from mintage.serving.settings import ServerSection
from mintage.testing.serving import serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@dataclass
class Shown:
    """Answers with what it saw.

    */slow* waits for `go`, */later* does so before it reads, */stream* ends when the client does.
    """

    scopes: list[Scope] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.started.set()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return self.gone.set()
        if scope["path"] == "/early":
            return await _answer(send, b"early")
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            return self.gone.set()
        if scope["path"] == "/later":
            await self.go.wait()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return self.gone.set()
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["path"] == "/slow":
            await self.go.wait()
        seen = {
            "headers": [
                [name.decode(), value.decode("latin-1")] for name, value in scope["headers"]
            ],
            "body": body.decode("latin-1"),
            "method": scope["method"],
        }
        return await _answer(send, json.dumps(seen).encode())


async def _answer(send: Send, body: bytes) -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass
class Stage:
    app: Shown
    places: Places
    port: int

    def seconds(self, count: int) -> None:
        """*count* seconds pass, for the server's connections."""
        for _ in range(count):
            self.places.tick()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Client"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    async def ask(self, sent: bytes) -> bytes:
        """All that comes back of *sent* on a connection of its own."""
        async with self.connected() as client:
            client.writer.write(sent)
            return await client.rest()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def rest(self) -> bytes:
        """What comes until the server hangs up."""
        async with asyncio.timeout(10):
            found = b""
            try:
                while data := await self.reader.read(65536):
                    found += data
            except ConnectionError:
                return found
            return found

    async def head(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def chunked(self) -> bytes:
        """One answer, its body put together."""
        await self.head()
        body = b""
        async with asyncio.timeout(10):
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
        return body


@asynccontextmanager
async def staged(
    bounds: ServerSection | None = None,
    *,
    trusts: Callable[[str | None], bool] = lambda _: False,
    app: ASGIApp | None = None,
) -> AsyncIterator[Stage]:
    bounds = bounds or ServerSection()
    places = Places(
        total=bounds.max_connections,
        per_address=bounds.max_connections_per_address,
        trusts=trusts,
    )
    http, ws = protocols(bounds, places)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shown = Shown()
    config = uvicorn.Config(
        app or shown,
        host="127.0.0.1",
        port=port,
        http=http,
        ws=ws,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    async with serving(uvicorn.Server(config)):
        yield Stage(shown, places, port)
