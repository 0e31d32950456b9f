"""Plain reverse proxies: ``python -m benchmarks.proxies ENGINE PORT BACKEND_PORT``.

What a proxy can't do without, once for each engine, and no login: the request goes on with its
headers less those of one connection, and both bodies as they come. ``httpx2`` and ``aiohttp``
are the clients of these names, ``mintage`` is the engine of our own gateway. ``backend`` is what
they all stand in front of. All run as ``mintage serve`` does: uvicorn, uvloop, httptools.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, cast

import httptools
import httpx2
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from mintage.gateway.http1.pool import Pool
from mintage.gateway.http1.request import BackendRequest, Body
from mintage.site.targets import HttpTarget

Headers = list[tuple[bytes, bytes]]

SMALL: Final = 1024  # bytes of the answer to a GET, and of the body of a POST
_HOP: Final = frozenset({b"connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"})
_PIECE: Final = bytes(65536)


def kept(headers: Headers) -> Headers:
    return [header for header in headers if header[0].lower() not in _HOP]


def onward(scope: Scope) -> Headers:
    return [header for header in kept(scope["headers"]) if header[0] != b"host"]


def has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def incoming(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def answer(send: Send, status: int, headers: Headers, chunks: AsyncIterator[bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": kept(headers)})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class Httpx2:
    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._client = httpx2.AsyncClient(
            trust_env=False,
            timeout=None,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = incoming(receive) if has_body(scope) else None
        url = self._backend + scope["path"]
        request = httpx2.Request(scope["method"], url, headers=onward(scope), content=content)
        response = await self._client.send(request, stream=True)
        try:
            await answer(send, response.status_code, response.headers.raw, response.aiter_raw())
        finally:
            await response.aclose()


class Aiohttp:
    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._session: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        import aiohttp
        import yarl

        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
                skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            )
        async with self._session.request(
            scope["method"],
            yarl.URL(self._backend + scope["path"], encoded=True),
            headers=[(name.decode(), value.decode("latin-1")) for name, value in onward(scope)],
            data=incoming(receive) if has_body(scope) else None,
            allow_redirects=False,
        ) as response:
            chunks = response.content.iter_any()
            await answer(send, response.status, list(response.raw_headers), chunks)


class Mintage:
    """The engine alone: no login, no rules, nothing said of the user."""

    def __init__(self, backend: str) -> None:
        self._pool = Pool(HttpTarget.parse(backend, "backend"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        described, pool, method = dict(scope["headers"]), self._pool, scope["method"]
        length, chunked = described.get(b"content-length"), b"transfer-encoding" in described
        target = pool.target.at(scope["path"], b"")
        head = pool.begin(method, target, onward(scope), chunked=chunked).head([])
        body = Body.of(receive, length, chunked=chunked)
        request = BackendRequest(pool, method, head, body, ("", ""))
        try:
            found = await request.answer()
            start = {
                "type": "http.response.start",
                "status": found.status,
                "headers": kept(found.headers),
            }
            await send(start)
            more = True
            while more:
                chunk = await found.chunk()
                more = not found.at_end()
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        finally:
            request.end()


class Backend(asyncio.Protocol):
    """Answers every request with `SMALL` bytes, ``/big/N`` with N, ``/events`` with silence."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        head, _, size = self._url.partition(b"/big/")
        if size:
            task = asyncio.get_running_loop().create_task(self._big(int(size)))
            self._tasks.add(task)
        elif head.endswith(b"/events"):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
            )
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (SMALL, b"x" * SMALL)
            )

    async def _big(self, size: int) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for at in range(0, size, len(_PIECE)):
            self._transport.write(_PIECE[: size - at])
            await self._room.wait()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()


async def serve_backend(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port)
    await server.serve_forever()


PROXIES: Final[dict[str, Callable[[str], Callable[[Scope, Receive, Send], Awaitable[None]]]]] = {
    "httpx2": Httpx2,
    "aiohttp": Aiohttp,
    "mintage": Mintage,
}


def main(engine: str, port: str, backend_port: str) -> None:
    if engine == "backend":
        uvloop.run(serve_backend(int(port)))
        return
    uvicorn.run(
        PROXIES[engine](f"http://127.0.0.1:{backend_port}"),
        host="127.0.0.1",
        port=int(port),
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
