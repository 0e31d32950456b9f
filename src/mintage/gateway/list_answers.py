"""Removes from lists in a response what the user may not call."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.types import Message, Send

from mintage.gateway.headers import RawHeaders
from mintage.gateway.http1.connection import BackendError
from mintage.gateway.json_reading import UnreadableJson
from mintage.gateway.mcp_lists import EventFilter, MayCall, filtered

MAX_MESSAGE: Final = 16 * 1024 * 1024  # bytes of one message that is filtered
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
# What asks for an answer that can't be read, or for a part of one.
_NOT_ASKED: Final = frozenset({b"accept-encoding", b"range", b"if-range"})
# What speaks of the bytes as the backend sent them.
_OF_THE_BYTES: Final = frozenset(
    {
        b"accept-ranges", b"content-digest", b"content-length", b"content-md5", b"digest", b"etag",
        b"repr-digest",
    }
)  # fmt: skip

log = logging.getLogger("mintage.gateway")


def asking_for_plain(headers: RawHeaders) -> RawHeaders:
    """*headers* changed so that the backend sends a whole and readable response."""
    kept = [header for header in headers if header[0] not in _NOT_ASKED]
    return [*kept, (b"accept-encoding", b"identity")]


class ListFilter(msgspec.Struct):
    """An ASGI ``send`` in front of *send*. *method* is the request's.

    A response that can't be read is not forwarded: *refuse* responds in its place. An event that
    can't be read ends its stream, and is logged.
    """

    send: Send
    may_call: MayCall
    refuse: Callable[[BackendError], Awaitable[None]]
    method: str
    path: str
    _start: Message | None = None
    _events: EventFilter | None = None
    _body: bytearray = msgspec.field(default_factory=bytearray)
    _over: bool = False

    async def __call__(self, message: Message) -> None:
        if self._over:
            return
        try:
            await self._pass(message)
        except BackendError as error:
            self._over = True
            await self.refuse(error)

    async def _pass(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                await self._begin(message)
            case "http.response.body" if self._events is not None:
                await self._pass_events(self._events, message)
            case "http.response.body" if self._start is not None:
                await self._collect(self._start, message)
            case _:
                await self.send(message)

    async def _begin(self, start: Message) -> None:
        headers: list[Any] = start["headers"]
        kind = _value(headers, b"content-type").partition(";")[0].strip().lower()
        if kind in (_JSON, _EVENTS) and _value(headers, b"content-encoding") not in (
            "",
            "identity",
        ):
            raise _unreadable("is compressed, though it was asked for as it is")
        if kind == _EVENTS:
            self._events = EventFilter(self.may_call, MAX_MESSAGE)
            await self.send(_of_other_bytes(start))
        elif kind == _JSON or self.method == "POST":
            self._start = start
        else:
            await self.send(start)

    async def _pass_events(self, events: EventFilter, message: Message) -> None:
        more = message.get("more_body", False)
        try:
            passed = events.feed(message.get("body", b"")) + (b"" if more else events.end())
        except UnreadableJson as error:
            log.warning("%s: ended an event stream: an event of the backend %s", self.path, error)
            passed, more, self._over = b"", False, True
        if passed or not more:
            await self.send({**message, "body": passed, "more_body": more})

    async def _collect(self, start: Message, message: Message) -> None:
        self._body += message.get("body", b"")
        if len(self._body) > MAX_MESSAGE:
            raise _unreadable(f"has more than {MAX_MESSAGE} bytes")
        if message.get("more_body", False):
            return
        body, self._start = bytes(self._body), None
        kind = _value(start["headers"], b"content-type").partition(";")[0].strip().lower()
        if body and kind == _JSON:
            try:
                body = filtered(body, self.may_call)
            except UnreadableJson as error:
                raise _unreadable(str(error)) from None
        elif body and start["status"] < 400:  # noqa: PLR2004
            raise _unreadable("is neither JSON nor an event stream")
        start = _of_other_bytes(start)
        if not _is_bodiless(start["status"]):
            start["headers"].append((b"content-length", b"%d" % len(body)))
        await self.send(start)
        await self.send({**message, "body": body})


def _unreadable(what: str) -> BackendError:
    return BackendError(
        502,
        "the backend gave an answer that can't be filtered; ask the operator of this server",
        reason=f"filter_lists: the answer {what}",
    )


def _of_other_bytes(start: Message) -> Message:
    headers = [header for header in start["headers"] if header[0].lower() not in _OF_THE_BYTES]
    return {**start, "headers": headers}


def _is_bodiless(status: int) -> bool:
    return status in (204, 304)


def _value(headers: list[Any], name: bytes) -> str:
    found = [value for key, value in headers if key.lower() == name]
    return ",".join(value.decode("latin-1") for value in found)
