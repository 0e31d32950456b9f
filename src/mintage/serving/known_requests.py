"""Requests that the parser has read before, by their bytes. No I/O.

Clients repeat requests. One without a body often is the same byte for byte, and one with a body
differs from the one before in the length that its head states. To the parser each is the first.
Some clients send head and body apart, so a head is known without its body, too.
"""

import re
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace
from starlette.types import Scope

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.web.repeated_heads import REPEATED, Repeated

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
Key: TypeAlias = bytes | tuple[bytes, bytes, int] | None
"""A whole request; or its head without the digits of the length, and how many those are.

None: this request can't be known.
"""

_KEPT: Final = 1000  # requests
_LONGEST_KEPT: Final = 4096  # bytes of a head
_LONGEST_READ: Final = 65536
END: Final = b"\r\n\r\n"  # of a head
_SIZE_OF_END: Final = len(END)
_LENGTH: Final = b"content-length"
_NEVER_KEPT: Final = frozenset({b"cookie", b"dpop", b"traceparent", b"tracestate", b"x-request-id"})
_BASIC: Final = re.compile(rb"basic\b", re.IGNORECASE)
# As clients write it; whatever is written in another way, the parser reads.
_find_length: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([1-9][0-9]{0,15})\r\n").search


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

    def with_length(self, length: int) -> RawHeaders:
        """The headers, which state that the body has *length* bytes."""
        assert self.length_at is not None  # noqa: S101  (the caller looked)
        headers = [*self.headers]
        headers[self.length_at] = (_LENGTH, b"%d" % length)
        return headers


def split(data: bytes) -> tuple[Key, bytes, int]:
    """(key, body, left) of *data*, which begin a request, if a request is known by that key.

    *body*: what is here of it. *left*: how many more bytes of it are to come. They are what the
    head states, and it states it the way a number is written: with any other length, and with
    another request behind the body, there is no key.
    """
    if len(data) > _LONGEST_READ:
        return None, b"", 0
    end = data.find(END) + _SIZE_OF_END
    found = _find_length(data, 0, end)
    if found is None:
        return (data if end == len(data) else None), b"", 0
    at, stop = found.span(1)
    body = data[end:]
    left = int(found[1]) - len(body)
    if left < 0:
        return None, b"", 0
    return (data[:at], data[stop:end], stop - at), body, left


class KnownRequests(BoundedMemory[Key, Parsed]):
    """What the parser read, by the keys of the requests."""

    def __init__(self) -> None:
        super().__init__(_KEPT)

    def keep(self, key: Key, length: int, parsed: Parsed) -> None:
        """Remember that one request with *key* and *length* bytes of body was *parsed*.

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
            if names.count(_LENGTH) != 1 or b"transfer-encoding" in names:
                return
            before, after, _ = key
            at = names.index(_LENGTH)
            if headers[at][1] == b"%d" % length and len(before) + len(after) <= _LONGEST_KEPT:
                self[key] = _repeated(parsed, at)
        elif key is not None and len(key) <= _LONGEST_KEPT:
            self[key] = _repeated(parsed, None)


def _repeated(parsed: Parsed, length_at: int | None) -> Parsed:
    scope = {**parsed.scope, REPEATED: Repeated(length_at)}
    return replace(parsed, scope=scope, length_at=length_at)
