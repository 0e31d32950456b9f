"""One HTTP/1.1 connection as a client. httptools parses the responses, as in uvicorn.

A server that breaks the protocol loses the connection: a response whose end could be seen in two
places, a switch of protocols that was not requested, bytes that belong to no response.
"""

import asyncio
from itertools import chain
from typing import Final, cast

import httptools

MAX_HEAD: Final = 64 * 1024  # bytes of all header names and values
MAX_HEADERS: Final = 200
_HIGH_WATER: Final = 256 * 1024  # bytes that wait to be taken before the server must
_SWITCHING, _NO_CONTENT, _NOT_MODIFIED = 101, 204, 304


class HttpFault(Exception):
    """The server gave no response. The text says what it did, after "the server"."""


class Connection(asyncio.Protocol):
    """One request at a time: `begin`, `write`, `head`, and `chunk` until it returns nothing."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = self._read_paused = False
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._open = False  # an answer is awaited or under way
        self._keep = False  # the last answer left the connection fit for another
        self.reused = False
        self.idle_since = 0.0

    def fault(self, what: str) -> Exception:
        """The error that a caller gets. *what*: what the server did, as in "closed it"."""
        return HttpFault(what)

    def begin(self, request: bytes, *, bodiless: bool) -> None:
        """Send *request*. *bodiless*: its response has no body, whatever its head says (HEAD)."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.silent = True  # not a byte of an answer yet
        self._trailers = self._fruitless = 0
        self._length: bytes | None = None
        self._chunked = self.headed = self.complete = self._until_close = False
        self._bodiless = bodiless
        self._error: Exception | None = None
        self._open, self._keep = True, False
        if self._transport is None or self._transport.is_closing():
            self._error = self.fault("closed the connection")
        else:
            self._transport.write(request)

    async def write(self, data: bytes) -> None:
        """Send more of the request. Returns when there is room for what follows."""
        if self._transport is None or self._transport.is_closing():
            raise self.fault("closed the connection")
        self._transport.write(data)
        if self._write_paused:
            self._writable = self._loop.create_future()
            await self._writable

    async def head(self) -> None:
        """Wait for *status* and *headers*. Raises what `fault` makes, or what `fail` got."""
        while not self.headed:
            await self.news()

    async def chunk(self) -> bytes:
        """The next part of the body, empty at its end. Raises as `head` does."""
        while not self.has_part:
            await self.news()
        return self.take()

    @property
    def has_part(self) -> bool:
        """Whether a part of the body has come that was not taken, or its end."""
        return self.complete or bool(self._chunks)

    def take(self) -> bytes:
        """All that has come of the body and was not taken."""
        found = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()
        return found

    def at_end(self) -> bool:
        """Whether the last part of the body has been taken."""
        return self.complete and not self._chunks

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return (
            self._keep
            and not self._chunks
            and not self._write_paused
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def fail(self, error: Exception) -> None:
        """Close the connection. A caller that waits for the response gets *error*."""
        if not self.complete and self._error is None:
            self._error = error
        self._wake()
        self.close()

    def stop(self) -> None:
        """Close the connection, and take what has come as the whole response."""
        self.complete = True
        self._wake()
        self.close()

    def close(self) -> None:
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self.close()
            return
        self.silent = False
        self._fruitless += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(self.fault("sent an answer that is not valid HTTP"))
            return
        if self._fruitless > MAX_HEAD and self._open:
            # A header or a trailer without end, and the parser holds all of it.
            self.fail(self.fault("sent an answer with too large a head"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._keep = False
        if self._open and self.headed and self._until_close and exc is None:
            self._end()
        elif self._open:
            headed = "broke off its answer" if self.headed else "closed the connection"
            self.fail(self.fault(headed))
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(self.fault("closed the connection"))

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def on_message_begin(self) -> None:
        if not self._open:
            raise ValueError("an answer without a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headed:
            self._on_trailer(name, value)
        else:
            self.headers.append((name.lower(), value))

    def _on_trailer(self, name: bytes, value: bytes) -> None:
        """No client expects one: it is only counted."""
        self._trailers += len(name) + len(value)
        if self._trailers > MAX_HEAD:
            raise ValueError("the trailers are too large")

    def _check_size(self) -> None:
        """Raise ``ValueError`` for a head that is too large, though it came at once."""
        # What came since the last byte of a body is at least as much as the head.
        if self._fruitless > MAX_HEAD:
            size = sum(map(len, chain.from_iterable(self.headers)))
            if size > MAX_HEAD:
                raise ValueError("the head is too large")
        if len(self.headers) > MAX_HEADERS:
            raise ValueError("the head has too many headers")

    def _check_framing(self) -> None:
        """Raise ``ValueError`` for a head whose body two servers could read differently."""
        named = dict(self.headers)
        if len(named) != len(self.headers):
            names = [name for name, _ in self.headers]
            if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
                raise ValueError("Content-Length or Transfer-Encoding is there twice")
        length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
        if length is not None:
            if coding is not None:
                raise ValueError("Content-Length and Transfer-Encoding at once")
            if not length.isdigit():
                raise ValueError("Content-Length is not one number")
            self._length = length
        elif coding is not None:
            # Mintage sends no TE header, so no other coding may come.
            if coding.strip().lower() != b"chunked":
                raise ValueError("Transfer-Encoding is not chunked")
            self._chunked = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._fruitless > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            self._check_size()
        self._check_framing()
        if not 200 <= status <= 599:  # noqa: PLR2004
            if not 100 <= status < 200 or status == _SWITCHING:  # noqa: PLR2004
                raise ValueError("a status that can't be forwarded")
            self.headers, self._length, self._chunked = [], None, False  # the real one follows
            return
        if self._chunked and self._parser.get_http_version() != "1.1":
            raise ValueError("chunks in an answer of HTTP/1.0")  # RFC 9112 §6.1
        self.status, self.headed = status, True
        if self._bodiless or status in (_NO_CONTENT, _NOT_MODIFIED):
            # A faulty server sends a body even so, perhaps late. It would be taken for
            # the next answer; so the connection has none.
            self._end()
            return
        self._until_close = not (self._chunked or self._length is not None)
        self._wake()

    def on_body(self, body: bytes) -> None:
        if not self._open:
            raise ValueError("a body where none may be")
        self._fruitless = 0
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > _HIGH_WATER and not self._read_paused:
            transport = self._transport
            if transport is not None and not transport.is_closing():
                self._read_paused = True
                transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self.headed and self._open:
            self._keep = self._parser.should_keep_alive()
            self._end()

    def _end(self) -> None:
        self._open, self.complete = False, True
        self._wake()

    def news(self) -> asyncio.Future[None]:
        """What to await for more of the response. Raises as `head` does.

        It is no coroutine, because a silent stream would hold that as well.
        """
        if self._error is not None:
            raise self._error
        self._waiting = waiting = self._loop.create_future()
        return waiting

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is not None:
            self._waiting = None
            if not waiting.done():
                waiting.set_result(None)
