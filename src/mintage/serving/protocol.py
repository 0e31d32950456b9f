"""uvicorn's HTTP/1.1 protocol, with limits for bytes and time before there is a request.

The parser keeps all that it gets of one header, however long that is. So bytes are counted before
the parser gets them. A connection waits for one thing at a time (`Phase`), and checks each second
how long it has waited.
"""

import asyncio
from functools import partial
from typing import Any, ClassVar, Final

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mintage.network.tcp import notice_its_end
from mintage.serving.cycles import Cycle
from mintage.serving.declined_upgrades import without_offer
from mintage.serving.flow import Flow
from mintage.serving.head_checks import is_too_large, refusal_of_version, refusal_of_websocket
from mintage.serving.known_requests import END, Key, KnownRequests, Parsed, RawHeaders, split
from mintage.serving.phases import Phase, is_too_slow
from mintage.serving.places import Places
from mintage.serving.refusals import (
    BODY_TOO_SLOW,
    HEAD_TOO_LARGE,
    HEAD_TOO_SLOW,
    MALFORMED,
    PIPELINED,
    TARGET_TOO_LONG,
    TUNNEL,
    Refusal,
)
from mintage.serving.request_targets import read_target
from mintage.serving.settings import ServerSection

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_LINGER_SECONDS: Final = 2  # in which a client may read why it was refused
_LINGER_BYTES: Final = 256 * 1024  # that it may send meanwhile
_REST_SECONDS: Final = 30  # for the rest of a body whose request is answered

# Looked up once: in CPython 3.11 a member of an enum is found by a slow way each time.
_NEW: Final = Phase.NEW
_HEAD: Final = Phase.HEAD
_BODY: Final = Phase.BODY
_ANSWER: Final = Phase.ANSWER
_REST: Final = Phase.REST
_IDLE: Final = Phase.IDLE
_REFUSED: Final = Phase.REFUSED


class _Refused(ValueError):
    """Stops the parser from inside one of its callbacks."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The class attributes are set on a subclass, by `protocols`.

    *known*: what the parser has read before. It is the same for all connections.
    """

    # uvicorn's class nearly has as many attributes as CPython shares a layout for. With more,
    # each access to any of them is slower.
    __slots__ = (
        "_fruitless",
        "_has_place",
        "_is_last",
        "_left",
        "_parsed",
        "_phase",
        "_quiet",
        "_read",
        "_received",
        "_running",
        "_seen",
        "_upgrading",
        "_waited",
        "_why",
    )

    bounds: ClassVar[ServerSection]
    places: ClassVar[Places]
    known: ClassVar[KnownRequests]
    cycle: Cycle  # type: ignore[assignment]  # of the last request; None before the first
    pipeline: list[Cycle]  # type: ignore[assignment]
    parser: Any  # None between two requests, until bytes come that it has to read

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.headers = []
        self.pipeline = []
        self.parser = None  # a known request needs none
        self._phase = _NEW
        self._waited = 0  # seconds in this phase
        self._quiet = 0  # seconds without a byte of the body
        self._received = self._seen = 0  # bytes of the body, now and a second ago
        self._fruitless = 0  # bytes since the parser last had something to say
        self._read = 0  # bytes that came last, at once
        self._left = 0  # bytes to come of a body whose head was known
        self._why: Refusal | None = None
        self._parsed: Parsed | None = None  # the head that came last with these bytes
        self._upgrading = False
        self._has_place = False
        self._is_last = False  # whether the next request is the last one
        self._running: Cycle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport)
        peer = self._peer()
        if (refusal := self.places.take(peer)) is not None:
            self.places.complain(refusal, peer)
            self._phase = _REFUSED
            self._fruitless = _LINGER_BYTES  # no lingering: there is no room for it
            transport.write(refusal.answer())
            transport.close()
            return
        self._has_place = True
        self.places.watch(self)
        notice_its_end(transport, self.bounds.client_gone_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        # The application may be at an earlier request than the last that came (pipelining).
        _abandon(self._running)
        _abandon(self.cycle)
        self._leave()
        self.connections.discard(self)
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # it holds this object

    def _leave(self) -> None:
        self.places.forget(self)
        if self._has_place:
            self._has_place = False
            self.places.give(self._peer())

    def _peer(self) -> str | None:
        return self.client[0] if self.client else None

    def data_received(self, data: bytes) -> None:
        if self._left and not (data := self._behind_body(data)):
            return None
        phase = self._phase
        key: Key = None
        body, left = b"", 0
        if not self._fruitless and (phase is _IDLE or phase is _NEW):
            known = self.known
            # Others mostly have a body, and are not known by all of their bytes.
            is_bare = data.endswith(END) and data.startswith(b"GET ")
            if is_bare and (parsed := known.get(data)) is not None:
                return self._begin(parsed, 0, b"")
            key, body, left = split(data)
            if (parsed := known.get(key)) is not None:
                return self._begin_known(parsed, body, left)
        self._read = len(data)
        self._fruitless += self._read
        if phase is _REFUSED:
            return self._linger()
        if not self._parse(data):
            key = None
        bounds = self.bounds
        if self._fruitless > bounds.max_head_bytes or len(self.headers) > bounds.max_headers:
            self._refuse(HEAD_TOO_LARGE)
        if key is not None and self._parsed is not None and self._phase is _after(left):
            self.known.keep(key, len(body) + left, self._parsed)
        return None

    def _parse(self, data: bytes) -> bool:
        """Let the parser read *data*. Returns whether no other had to read a part of it."""
        if self._phase is _ANSWER and not self.cycle.keep_alive:
            return True  # behind the connection's last request nothing is read (RFC 9112 §9.6)
        try:
            (self.parser or self._new_parser()).feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
            return False
        except httptools.HttpParserError:
            self._refuse(self._why or MALFORMED)
        return True

    def _linger(self) -> None:
        """It was refused, and may read why, but not send without end."""
        if self._fruitless > _LINGER_BYTES:
            self.transport.abort()

    def _begin_known(self, parsed: Parsed, body: bytes, left: int) -> None:
        """Begin to answer a request whose head is known, and of whose body *left* bytes will come.

        The parser gets none of it: all that is to be read of a body of a stated length is where it
        ends. What follows is the parser's again.
        """
        if left:
            self._quiet = self._received = self._seen = 0
            self._left = left
            self._begin(parsed, len(body) + left)
            if body:
                self.on_body(body)
        else:
            self._begin(parsed, len(body), body)

    def _behind_body(self, data: bytes) -> bytes:
        """Take from *data* what they have of the body, and return what is behind it."""
        size = self._left
        self._left = max(0, size - len(data))
        if self._left:
            self.on_body(data)
            return b""
        self.on_message_complete(data[:size])
        return data[size:]

    @property
    def idle(self) -> int | None:
        """For how many seconds it has waited for its next request; None if for something else.

        That may be the client, which has not yet read its response: closing would wait for it too.
        """
        if self._phase is not _IDLE or self.transport.get_write_buffer_size():
            return None
        return self._waited

    def evict(self) -> None:
        """Close it, and free its place at once."""
        self._leave()
        self.transport.close()

    @property
    def awaits_request(self) -> bool:
        """Whether a request may be on its way."""
        return self._phase in (_NEW, _IDLE, _HEAD) and not self.transport.is_closing()

    def end_after_next(self) -> None:
        """Close the connection after the next request, and tell the client so."""
        self._is_last = True

    def shutdown(self) -> None:
        if self._phase is _REFUSED:
            self.transport.close()
        else:
            super().shutdown()

    # The clock

    def tick(self) -> None:
        """A second has passed."""
        if self.flow.read_paused and self._phase in (_HEAD, _BODY):
            return  # it is the application that takes its time
        self._waited += 1
        bounds = self.bounds
        match self._phase:
            case Phase.ANSWER:
                self.parser = None  # it is between two requests, and the answer may last
            case Phase.IDLE if self._waited >= bounds.keep_alive_seconds:
                self.transport.close()
            case Phase.NEW if self._waited >= bounds.head_seconds:
                self.transport.close()
            case Phase.HEAD if self._waited >= bounds.head_seconds:
                self._refuse(HEAD_TOO_SLOW)
            case Phase.BODY:
                self._look_at_the_body()
            case Phase.REST if self._waited >= _REST_SECONDS:
                self.transport.close()
            case Phase.REFUSED if self._waited >= _LINGER_SECONDS:
                self.transport.abort()

    def _look_at_the_body(self) -> None:
        if self.cycle.waiting_for_100_continue:
            self._waited -= 1  # the application has not asked for it yet
            return
        self._quiet = 0 if self._received != self._seen else self._quiet + 1
        self._seen = self._received
        if is_too_slow(self.bounds, self._quiet, self._waited, self._received):
            self._refuse(BODY_TOO_SLOW)

    # What the parser finds

    def _new_parser(self) -> Any:
        self.parser = parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._parsed = None
        self._phase = _HEAD
        self._waited = self._quiet = self._received = self._seen = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.bounds.max_head_bytes:
            self._stop(TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        # What came with the end of the request before is in one of the two.
        parser, headers = self.parser, self.headers
        most = max(self._fruitless, self._read)
        if is_too_large(self.url, headers, self.bounds, most=most):
            self._stop(HEAD_TOO_LARGE)
        self._fruitless = 0
        if b"expect" in dict(headers):
            self.expect_100_continue = any(
                name == b"expect" and value.lower() == b"100-continue" for name, value in headers
            )
        version, method = parser.get_http_version(), parser.get_method()
        plain = version != "1.1" and self._is_plain(version)
        if parser.should_upgrade():
            return self._prepare_upgrade(method, version)
        # Trailers are no headers (RFC 9110 §6.5.1), and nothing here needs one: they are
        # counted in a list that is never read.
        self.headers = []
        keep_alive = not plain and parser.should_keep_alive()
        self._parsed = parsed = self._read_head(method, version, headers, plain, keep_alive)
        return self._begin(parsed)

    def _read_head(
        self,
        method: bytes,
        version: str,
        headers: RawHeaders,
        plain: bool = False,  # noqa: FBT001, FBT002  (by position: a request pays for each name)
        keep_alive: bool = True,  # noqa: FBT001, FBT002
    ) -> Parsed:
        path, raw_path, query = read_target(self.url)
        root = self.root_path
        scope = {
            "type": "http",
            "http_version": version,
            "root_path": root,
            "method": method.decode("ascii"),
            "path": root + path,
            "raw_path": root.encode("ascii") + raw_path,
            "query_string": query,
        }
        return Parsed(
            scope, headers, plain, keep_alive, self.expect_100_continue, method == b"HEAD"
        )

    def _begin(self, parsed: Parsed, length: int = 0, body: bytes | None = None) -> None:
        """Begin to answer a request, when those before it are answered.

        *length*: of its body, if the head was known. *body*: all of it, if it is here.
        """
        is_whole = body is not None
        cycle = Cycle(
            self._scope(parsed, length),
            self.transport,
            self.flow,
            self.server_state.default_headers,
            self.on_response_complete,
            parsed.expects,
            parsed.plain,
            parsed.keep_alive and not self._is_last,
            parsed.for_head,
            not is_whole,
            is_whole,
            [body] if body else [],
            len(body) if body else 0,
        )
        existing, self.cycle = self.cycle, cycle
        self._phase = _ANSWER if is_whole else _BODY
        self._waited = 0
        if existing is None or existing.response_complete:
            self._run(cycle)
        elif len(self.pipeline) >= self.bounds.max_pipelined:
            self._stop(PIPELINED)
        else:
            self.flow.pause_reading()
            self.pipeline.append(cycle)

    def _scope(self, parsed: Parsed, length: int = 0) -> Scope:
        return {
            **parsed.scope,
            "asgi": _ASGI,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "headers": [*parsed.headers]
            if parsed.length_at is None
            else parsed.with_length(length),
            "state": self.app_state.copy(),
        }

    def _run(self, cycle: Cycle) -> None:
        self._running = cycle
        cycle.task = task = self.loop.create_task(cycle.run(self.app, self.tasks))
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        self._fruitless = 0
        self._received += len(body)
        if self._upgrading or self.cycle.response_complete:
            return
        self.cycle.feed(body)
        if self.cycle.buffered > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self, body: bytes = b"") -> None:
        """*body*: the last part of it, if that came at once with its end."""
        self._fruitless = 0
        if self._upgrading:
            return
        self._waited = 0
        if self.cycle.response_complete:
            self._phase = _IDLE
            return
        self._phase = _ANSWER
        self.cycle.finish(body)
        if body and self.cycle.buffered > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._run(self.pipeline.pop(0))
        elif self._phase is _ANSWER:
            self._phase, self._waited = _IDLE, 0
        elif self._phase is _BODY:
            self._phase, self._waited = _REST, 0

    def _is_plain(self, version: str) -> bool:
        """Whether the client speaks HTTP/1.0. No other older version is served."""
        if (refusal := refusal_of_version(version, self.headers)) is not None:
            self._stop(refusal)
        self.expect_100_continue = False  # RFC 9110 §10.1.1
        return True

    # Other protocols

    def _prepare_upgrade(self, method: bytes, version: str) -> None:
        if method == b"CONNECT":
            self._stop(TUNNEL)
        self._upgrading = True
        if not self._should_upgrade():
            return
        if self._running is not None and not self._running.response_complete:
            self._stop(PIPELINED)
        refusal = refusal_of_websocket(method, version, self.url, self.headers)
        if refusal is not None:
            self._stop(refusal)

    def _upgrade(self, rest: bytes) -> None:
        """Upgrade to WebSocket. Any other protocol is declined (RFC 9110 §7.8).

        The parser takes what follows such a head for the other protocol's bytes, although it is the
        body. So another parser reads the head without the upgrade, and then *rest*.
        """
        self._upgrading = False
        if self._should_upgrade():
            self._phase = _ANSWER
            self._leave()
            parsed = self._read_head(self.parser.get_method(), "1.1", self.headers)
            scope: Any = self._scope(parsed)
            self.scope = scope
            self.handle_websocket_upgrade()
            return
        head = without_offer(
            self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
        )
        self._new_parser()
        self.data_received(head + rest)

    # Refusals

    def _stop(self, refusal: Refusal) -> None:
        """Called from the parser's callbacks: the parser stops, and `data_received` refuses."""
        self._why = refusal
        raise _Refused

    def _refuse(self, refusal: Refusal) -> None:
        """Send *refusal* if a response is due, and end the connection."""
        if self._phase is _REFUSED:
            return
        self.places.complain(refusal, self._peer())
        running = self._running
        clean = not self.pipeline and (
            running is None
            or running.response_complete
            or (self._phase is _BODY and not running.response_started)
        )
        clean = clean and self._phase not in (_ANSWER, _REST)
        self._phase, self._waited, self._fruitless, self._left = _REFUSED, 0, 0, 0
        self.pipeline.clear()
        _abandon(running)
        _abandon(self.cycle)
        if self.transport.is_closing():
            return
        if not clean or not self.transport.can_write_eof():
            self.transport.close()
            return
        # To close now would reset the connection, and the client would not read the answer.
        self.transport.write(refusal.answer())
        self.transport.write_eof()
        self.flow.resume_reading()


def protocols(bounds: ServerSection, places: Places) -> tuple[type[BoundedProtocol], Any]:
    """What makes a protocol, for ``http`` and ``ws`` of ``uvicorn.Config``."""
    bound = {"__slots__": (), "bounds": bounds, "places": places, "known": KnownRequests()}
    http = type("BoundedProtocol", (BoundedProtocol,), bound)
    return http, partial(_websocket, places)


def _websocket(places: Places, **given: Any) -> asyncio.Protocol:
    from mintage.serving.websocket import BoundedWebSocket

    return BoundedWebSocket(places, **given)


def _after(left: int) -> Phase:
    """The phase after one request, of whose body *left* bytes are to come."""
    return _BODY if left else _ANSWER


def _abandon(cycle: Cycle | None) -> None:
    if cycle is not None:
        cycle.abandon()
