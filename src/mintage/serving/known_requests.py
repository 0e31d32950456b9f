"""Requests that the parser has read before, by their bytes. No I/O.

Clients repeat requests. One without a body often is the same byte for byte, and one with a body
differs from the one before in the length that its head states. To the parser each is the first.
"""

import re
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace
from starlette.types import Scope

from mintage.concurrency.bounded_memory import BoundedMemory

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
Key: TypeAlias = bytes | tuple[bytes, bytes, int] | None
"""A whole request; or its head without the digits of the length, and how many bytes those take.

None: this request can't be known.
"""

_KEPT: Final = 1000  # requests
_LONGEST_KEPT: Final = 4096  # bytes of a head
_LONGEST_WITH_BODY: Final = 65536
END: Final = b"\r\n\r\n"  # of a head
_LENGTH: Final = b"content-length"
_NEVER_KEPT: Final = frozenset({b"cookie", b"dpop", b"traceparent", b"tracestate", b"x-request-id"})
_BASIC: Final = re.compile(rb"basic\b", re.IGNORECASE)
_LENGTH_LINE: Final = b"\r\n" + _LENGTH


class Parsed(msgspec.Struct, frozen=True):
    """The head of a request, as the parser reads it from the same bytes each time.

    *scope*: what the head says of the request's scope, without its *headers*. *plain*: the client
    speaks HTTP/1.0. *keep_alive*: whether another request may follow. *expects*: whether the client
    waits for "100 Continue". *for_head*: whether the method is HEAD. *length_at*: which of the
    headers is the length of the body, if that differs each time.
    """

    scope: Scope
    headers: RawHeaders
    plain: bool
    keep_alive: bool
    expects: bool
    for_head: bool
    length_at: int | None = None

    def with_length(self, body: bytes) -> RawHeaders:
        """The headers, which state the length of *body*."""
        assert self.length_at is not None  # noqa: S101  (the caller looked)
        headers = [*self.headers]
        headers[self.length_at] = (_LENGTH, b"%d" % len(body))
        return headers


def split(data: bytes) -> tuple[Key, bytes]:
    """(key, body) of *data*, which are one whole request if a request is known by that key.

    The bytes behind the head are the body only if the head states their number, and states it the
    way a number is written: a known head with any other length has another key.
    """
    if len(data) > _LONGEST_WITH_BODY:
        return None, b""
    end = data.find(END) + len(END)
    body = data[end:]
    stated = b": %d\r\n" % len(body)
    at = data.find(stated, 0, end)
    if at < 0:
        return None, b""
    return (data[:at], data[at + len(stated) : end], len(stated)), body


class KnownRequests(BoundedMemory[Key, Parsed]):
    """What the parser read, by the keys of the requests."""

    def __init__(self) -> None:
        super().__init__(_KEPT)

    def keep(self, key: Key, body: bytes, parsed: Parsed) -> None:
        """Remember that one whole request with *key* and *body* was *parsed*.

        Not with a query, a cookie or a client's secret: they do not stay in memory. Not with what
        is another one each time: it would push out what comes again. And not if anything but the
        number that was cut out says where the body ends.
        """
        headers = parsed.headers
        names = [name for name, _ in headers]
        if parsed.expects or parsed.scope["query_string"] or not _NEVER_KEPT.isdisjoint(names):
            return
        if any(name == b"authorization" and _BASIC.match(value) for name, value in headers):
            return
        if isinstance(key, tuple):
            before, after, _ = key
            is_stated = before.lower().endswith(_LENGTH_LINE) and names.count(_LENGTH) == 1
            if not is_stated or b"transfer-encoding" in names:
                return
            at = names.index(_LENGTH)
            if headers[at][1] == b"%d" % len(body) and len(before) + len(after) <= _LONGEST_KEPT:
                self[key] = replace(parsed, length_at=at)
        elif key is not None and len(key) <= _LONGEST_KEPT:
            self[key] = parsed
