"""The reverse proxy: verify the token, put the right credential in its place, stream.

Bodies are forwarded as they come, in both directions. If one side disconnects, the other is
disconnected too.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import compress
from operator import itemgetter
from typing import Final, Protocol, TypeAlias

import msgspec
from starlette.types import Message, Receive, Scope, Send

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import MethodNotAllowed, MintageError
from mintage.gateway.credentials import BackendCredentials, Told
from mintage.gateway.headers import RawHeaders, to_client
from mintage.gateway.http1.connection import BackendError, Connection
from mintage.gateway.http1.pool import Begun, Pool, User
from mintage.gateway.http1.request import BackendRequest, Body, ClientGone, Tally
from mintage.gateway.watch import END_OF_BODY, Check, Ended, Watch, is_event_stream
from mintage.site.resource import Resource
from mintage.web.cors import private, readable
from mintage.web.references import reference_of_response, without_reference

# A backend that shows what it was sent would show the client what is only for the backend.
NEVER_PASSED: Final = frozenset({"TRACE", "TRACK", "CONNECT"})
_ALLOW: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_WITHOUT_CONTENT: Final = (204, 304)
_DECIDED_BY_VALUE: Final = frozenset({b"connection", b"location", b"set-cookie"})
_USUAL_NAMES: Final = 1024  # bytes of all names of an answer that are remembered
_FOR_ANY_PAGE: Final = readable([])
_name_of: Final = itemgetter(0)

log = logging.getLogger("mintage.gateway")


class Exchange(Protocol):
    """A request to a backend. Call `end` in any case, when its response is over."""

    async def answer(self) -> Connection:
        """The response, its head complete."""

    def end(self) -> None: ...


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes: all of it that its head and the settings decide.

    *begun*: the head that the backend gets, but for what differs each time. *asked*: the URL that
    is asked for. *length*: of its body, if the head says it and it does not differ. *tally*: who
    counts it.
    """

    resource: Resource
    pool: Pool
    begun: Begun
    asked: str
    length: bytes | None
    tally: Tally | None

    def body(self, receive: Receive, length: bytes | None) -> Body:
        """The body of a request. *length*: its own, if it differs each time."""
        length = length or self.length
        if length is None and not self.begun.chunked:
            return Body(receive, 0, False)  # noqa: FBT003
        return Body.of(receive, length, chunked=self.begun.chunked)


Ask: TypeAlias = Callable[[Course, Told, RawHeaders, Body, User], Exchange]
"""Makes a request to a backend.

From its course, what the backend learns about the user, more headers, its body and its user.
"""


def ask(course: Course, told: Told, more: RawHeaders, body: Body, user: User) -> BackendRequest:
    begun = course.begun
    head = begun.head(more, told.lines())
    return BackendRequest(course.pool, begun.method, head, body, user, course.tally)


def _uncounted(_: Resource) -> None:
    """Nobody counts the requests to a backend."""


class Proxy(msgspec.Struct):
    """Forwards one authenticated request to its backend, and the response back.

    *tally_of*: who counts the requests to the backend of a resource.
    """

    credentials: BackendCredentials
    ask: Ask = ask
    tally_of: Callable[[Resource], Tally | None] = _uncounted
    watch: Watch = msgspec.field(default_factory=Watch)
    _streams: set[Connection] = msgspec.field(default_factory=set)
    _draining: bool = False

    def course(
        self,
        resource: Resource,
        pool: Pool,
        rest: str,
        query: bytes,
        method: str,
        headers: RawHeaders,
        framing: RawHeaders,
    ) -> Course:
        """Where a request with *method* goes, at *rest*, the backend's part of the path.

        *headers*: for the backend, but for what differs each time. *framing*: the client's own, of
        which those count that describe its body. Raises `MintageError` for what can't be sent.
        """
        if method in NEVER_PASSED:
            raise MethodNotAllowed(f"use another method than {method}", allow=_ALLOW)
        described = dict(framing)
        base, length = pool.base, described.get(b"content-length")
        chunked = length is None and b"transfer-encoding" in described
        return Course(
            resource=resource,
            pool=pool,
            begun=pool.begin(method, pool.target.at(rest, query), headers, chunked=chunked),
            asked=base.rstrip("/") + rest if rest else base,
            length=length,
            tally=self.tally_of(resource),
        )

    async def forward(
        self,
        course: Course,
        body: Body,
        told: Told,
        more: RawHeaders,
        scope: Scope,
        send: Send,
        *,
        user: User,
        check: Check,
        by_cookie: bool = False,
        refers: bool = True,
    ) -> None:
        """Relay until the response is complete, the client disconnects, or *check* refuses.

        *told*: about the user. *more*: headers for the backend that differ each time. *check*: see
        `Watch`. *by_cookie*: a browser's session brought the request, so that the response is for
        that browser alone. *refers*: whether the response gets the reference of its request here.
        Raises `MintageError` only before anything was sent to the client.
        """
        pool = course.pool
        exchange = self.ask(course, told, more, body, user)
        del told, more  # they are sent, and the response may last
        ended = False
        try:
            answer = await exchange.answer()
            await send(_start(answer, course, by_cookie=by_cookie, refers=refers))
            try:
                if answer.complete:
                    await send({"type": "http.response.body", "body": await answer.chunk()})
                else:
                    is_stream = is_event_stream(answer.headers)
                    answer.headers = []  # they are sent
                    endless = is_stream and scope["method"] == "GET"
                    with self.watch.over(check) as lasting:
                        lasting.begin()
                        await self._relay(answer, pool, send, endless=endless)
            except Ended as error:
                log.info("%s: ended an answer under way: %s", scope["path"], error)
                ended = is_stream
            except MintageError as error:
                # Headers are out: an answer that ends early is the only way to tell.
                log.warning("%s: %s: %s", scope["path"], pool.where, error)
        except ClientGone:
            return
        finally:
            exchange.end()
        if ended:  # the backend is rid of it already, though the client may be slow to take this
            await send(END_OF_BODY)

    async def _relay(self, answer: Connection, pool: Pool, send: Send, *, endless: bool) -> None:
        silence = pool.limits.silence
        if endless:
            self._streams.add(answer)
            if self._draining:
                answer.stop()
        try:
            more = True
            while more:
                if silence is None:
                    while not answer.has_part:
                        await answer.news()
                else:
                    async with asyncio.timeout(silence):
                        while not answer.has_part:
                            await answer.news()
                chunk = answer.take()
                more = not answer.at_end()
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
                del chunk  # or a silent stream would keep the last one
        except TimeoutError:
            raise BackendError(504, "the backend stopped sending") from None
        finally:
            self._streams.discard(answer)

    def drain(self) -> None:
        """Close the event streams of GETs, which never end by themselves. Others may finish."""
        self._draining = True
        for stream in list(self._streams):
            stream.stop()


def _start(answer: Connection, course: Course, *, by_cookie: bool, refers: bool) -> Message:
    if not (by_cookie or answer.status in _WITHOUT_CONTENT) and answer.headers:
        passed = _passed[*map(_name_of, answer.headers)]
        if passed is not None:
            reference = reference_of_response(answer.status, answer.headers) if refers else ()
            headers = [*compress(answer.headers, passed), *_FOR_ANY_PAGE, *reference]
            return {"type": "http.response.start", "status": answer.status, "headers": headers}
    headers = without_reference(
        to_client(
            answer.headers,
            asked=course.asked,
            backend=course.pool.base,
            public=course.resource.identifier,
        )
    )
    if answer.status in _WITHOUT_CONTENT:
        # It may state the length of another response; servers here rely on it.
        headers = [header for header in headers if header[0] != b"content-length"]
    headers = private(headers) if by_cookie else readable(headers)
    if refers:
        headers += reference_of_response(answer.status, headers)
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


class _Passed(BoundedMemory[tuple[bytes, ...], tuple[bool, ...] | None]):
    """By the names of a backend's headers: which of these a client gets; None if values decide.

    `to_client`, `readable` and `without_reference` say so. Backends send the same few names.
    """

    def __missing__(self, names: tuple[bytes, ...]) -> tuple[bool, ...] | None:
        passed = None
        if _DECIDED_BY_VALUE.isdisjoint(names):
            numbered = [(name, b"%d" % at) for at, name in enumerate(names)]
            told = without_reference(to_client(numbered, asked="", backend="", public=""))
            kept = {*readable(told)}
            passed = tuple(header in kept for header in numbered)
        if len(b"".join(names)) <= _USUAL_NAMES:
            self[names] = passed
        return passed


_passed: Final = _Passed(512)
