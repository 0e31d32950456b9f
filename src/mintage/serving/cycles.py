"""One request and its response, between uvicorn's protocol and the application.

It does what uvicorn's own `RequestResponseCycle` does, in fewer steps: there is no event until the
application waits for one, no copy of a body that came at once, and one check for a whole head.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl

from mintage.serving.response_heads import Header, head_of

_INTERNAL_ERROR: Final = b"Internal Server Error"

log = logging.getLogger("uvicorn.error")


def _nothing() -> None:
    """In place of a call when nobody is to be told any more."""


class Cycle(msgspec.Struct, eq=False):
    """*default_headers* are in each response. *plain*: the client speaks HTTP/1.0.

    *on_response* is called after the last byte. *keep_alive*: whether another request may follow.
    *for_head*: whether it is a HEAD. *more_body*: whether more of the body may come. *has_news*:
    whether `receive` has something to return at once.
    """

    scope: Scope
    transport: asyncio.Transport
    flow: FlowControl
    default_headers: list[Header]
    on_response: Callable[[], None]
    waiting_for_100_continue: bool
    plain: bool
    keep_alive: bool
    for_head: bool
    more_body: bool = True
    has_news: bool = False
    _body: list[bytes] = msgspec.field(default_factory=list)
    buffered: int = 0  # bytes of the body that the application has not taken
    task: asyncio.Task[None] | None = None
    disconnected: bool = False
    response_started: bool = False
    response_complete: bool = False
    _waiting: tuple[asyncio.Future[None], ...] = ()  # the application, for news
    _chunked: bool = False
    _left: int | None = None  # bytes of a response whose length is stated
    _on_disconnect: Callable[[], None] = _nothing

    # For the connection

    def feed(self, body: bytes) -> None:
        """More of the request's body has come."""
        self._body.append(body)
        self.buffered += len(body)
        self._tell()

    def finish(self, body: bytes = b"") -> None:
        """The request's body is complete, with *body* as the last part."""
        self.more_body = False
        if body:
            self._body.append(body)
            self.buffered += len(body)
        self._tell()

    def abandon(self) -> None:
        """The client no longer waits for the rest of the response."""
        if not self.response_complete:
            self.disconnected = True
            self._tell()
            self._on_disconnect()

    async def run(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Let *app* answer. An error of it is logged, and ends the response.

        `task` is what this runs in. At the end it is no longer among *tasks*: a callback for that
        would be one more turn of the event loop for each request.
        """
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:
            log.exception("Exception in ASGI application")
            await self._give_up()
        else:
            if not (self.response_complete or self.disconnected):
                log.error("the application returned before its response was complete")
                await self._give_up()
        finally:
            # Else the connection and this hold each other, and so do the request and this.
            self.on_response = self._on_disconnect = _nothing
            if self.task is not None:
                tasks.discard(self.task)
                self.task = None

    async def _give_up(self) -> None:
        if self.response_started:
            self.transport.close()
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(_INTERNAL_ERROR)),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": _INTERNAL_ERROR})

    # For the application

    async def receive(self) -> Message:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self.disconnected or self.response_complete):
            self.flow.resume_reading()
            if not self.has_news:
                await self._news()
            self.has_news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body = b"".join(self._body)
        self._body = []
        self.buffered = 0
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def when_disconnected(self, call: Callable[[], None]) -> None:
        """Have *call* called when the client disconnects before its response is complete.

        It is called at once if the client has disconnected already. There is one such call.
        """
        self._on_disconnect = call
        self.flow.resume_reading()  # or the disconnect is not seen
        if self.disconnected:
            call()

    async def send(self, message: Message) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            head, self._left, self._chunked, self.keep_alive = head_of(
                message["status"],
                (*self.default_headers, *message.get("headers", ())),
                self.keep_alive,
                self.for_head,
                self.plain,
            )
            self.transport.write(head)
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._continue(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}'.")

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self.for_head:
            self._left = 0
        elif self._chunked:
            self._write_chunk(body, more=more)
        elif body:
            if (left := self._left) is not None:
                self._left = left = left - len(body)
                if left < 0:
                    raise RuntimeError("Response content longer than Content-Length")
            self.transport.write(body)
        if more:
            return
        if self._left:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        if self._waiting:
            self._tell()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _write_chunk(self, body: bytes, *, more: bool) -> None:
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        self.transport.write(chunk if more else chunk + b"0\r\n\r\n")

    def _tell(self) -> None:
        self.has_news = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting = ()

    def _news(self) -> asyncio.Future[None]:
        """What to await for the next call of `_tell`."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting = (*self._waiting, waiting)
        return waiting
