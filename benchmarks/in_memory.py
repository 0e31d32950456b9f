"""A server and its backend without sockets: bytes in, bytes out, and the same on each run."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
import uvicorn
import uvloop
from uvicorn.server import ServerState

BACKEND: Final = "http://127.0.0.1:9"
BODY: Final = b"x" * 1024
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)
_PEERS: Final = {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 50_000)}


class Transport(asyncio.Transport):
    """Gives what is written to *write*."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write
        self._is_closing = False

    def write(self, data: Any) -> None:
        self._write(data)

    def writelines(self, parts: Any) -> None:
        self._write(b"".join(parts))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _PEERS.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self._is_closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _of_the_backend(_request: bytes) -> bytes:
    return _ANSWER


class Loop(uvloop.Loop):
    """A loop whose connections lead to a backend that answers each request with `BODY`.

    Those that come with a socket lead to *provider*.
    """

    def __init__(self) -> None:
        super().__init__()
        self.provider: Callable[[bytes], bytes] = _of_the_backend

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 9))]

    async def sock_connect(self, *_: Any, **__: Any) -> None:
        """Nothing is connected: what follows is a transport of ours."""

    async def create_connection(  # type: ignore[override]
        self, factory: Any, *_: Any, sock: socket.socket | None = None, **__: Any
    ) -> Any:
        protocol = factory()
        answer: Callable[[bytes], bytes] = _of_the_backend
        if sock is not None:
            sock.close()
            answer = self.provider

        def write(data: bytes) -> None:
            # All requests of these benchmarks are written at once.
            self.call_soon(protocol.data_received, answer(data))

        transport = Transport(write)
        protocol.connection_made(transport)
        return transport, protocol


class Client:
    """A connection to an application, which is open, as uvicorn serves it with *config*."""

    def __init__(self, config: uvicorn.Config) -> None:
        config.load()
        make: Any = config.http_protocol_class
        self._protocol = make(config=config, server_state=ServerState(), app_state={})
        self._protocol.connection_made(Transport(self._take))
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self._complete: asyncio.Future[None] | None = None

    async def ask(self, request: bytes, body: bytes = b"") -> bytes:
        """The body of the response to *request*, which must be a success or lead on.

        *body*: of the request, if it comes in a read of its own.
        """
        loop = asyncio.get_running_loop()
        self.body, self.headers, self._complete = b"", [], loop.create_future()
        self._protocol.data_received(request)
        if body:
            loop.call_soon(self._protocol.data_received, body)
        await self._complete
        if self.status not in (200, 201, 303):
            raise RuntimeError(f"{request[:60]!r}: {self.status} {self.body!r}")
        return self.body

    def close(self) -> None:
        self._protocol.connection_lost(None)

    def _take(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self._complete is not None:
            self._complete.set_result(None)


def new_loop() -> asyncio.AbstractEventLoop:
    return cast("asyncio.AbstractEventLoop", Loop())


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = {"host": "127.0.0.1", "accept": "*/*", "user-agent": "benchmark"} | headers
    if body:
        lines["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body
