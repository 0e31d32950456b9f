"""What a connection delivers and answers, with a memory of requests or without. No sockets."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from mintage.gateway.heads import head_of, head_of_served
from mintage.serving.known_requests import Key, KnownRequests, Parsed
from mintage.serving.places import Places
from mintage.serving.protocol import protocols
from mintage.serving.settings import ServerSection
from mintage.web.repeated_heads import REPEATED

_TURNS = 12  # of the loop, until all that was read is answered


class Nothing(KnownRequests):
    """Forgets each request."""

    def __setitem__(self, key: Key, parsed: Parsed) -> None:
        pass


class _Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.ended = False

    def write(self, data: Any) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("192.0.2.1", 1)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Lab:
    """Connections to one application, which notes what it gets, with one memory."""

    def __init__(self, known: KnownRequests, bounds: ServerSection | None = None) -> None:
        places = Places(total=100, per_address=100, trusts=lambda _: False)
        http, _ = protocols(bounds or ServerSection(), places)
        http.known = known
        self._config = uvicorn.Config(
            self._app,
            http=http,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
        )
        self._config.load()
        self._make: Any = self._config.http_protocol_class
        self._noted: list[Any] = []
        self._go = asyncio.Event()

    async def deliver(self, reads: list[bytes], *, tick_after: int | None = None) -> list[Any]:
        """What the application got of *reads* on a new connection, and the bytes that came back.

        ``/slow`` is answered after all reads. A second passes after the read of that number.
        """
        self._noted = []
        self._go.clear()
        wire, make = _Wire(), self._make
        protocol = make(config=self._config, server_state=ServerState(), app_state={})
        protocol.connection_made(wire)
        for number, read in enumerate(reads):
            if wire.is_closing():
                break
            protocol.data_received(read)
            await _settled()
            if number == tick_after:
                protocol.tick()
        self._go.set()
        await _settled()
        refused = wire.ended
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        return [*self._noted, wire.sent, refused]

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What is kept beside a known head must say what the head says.
        assert head_of_served(scope) == head_of(scope)
        self._noted.append({name: scope[name] for name in scope if name != REPEATED})
        if scope["path"] == "/slow":
            await self._go.wait()
        if scope["path"] != "/early":
            more = True
            while more:
                message: Message = await receive()
                self._noted.append(message)
                more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})


async def _settled() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
