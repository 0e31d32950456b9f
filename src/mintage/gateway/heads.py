"""The heads of requests, and what was found out about those that were admitted before.

Clients send the same head again and again: the same token, the same path. All that depends on
nothing but the head and the settings is found once. Whether the grant is live, what a limit counts,
and a proof that is good for one request are asked each time.
"""

from collections.abc import Awaitable, Callable
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec
from starlette.types import Receive, Scope, Send

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.gateway.headers import RawHeaders
from mintage.web.current_request import Tally
from mintage.web.repeated_heads import REPEATED, Repeated

_KEPT: Final = 1000  # heads
_LONGEST_KEPT: Final = 4096  # bytes of such a head
_MOST_KEPT: Final = 100  # headers of such a head
_LONGEST_VARYING: Final = 256  # bytes of a value
_USUAL_NAMES: Final = 1024  # bytes of all names of a head that are remembered
_LENGTH: Final = b"content-length"
_REFERENCE: Final = b"x-request-id"
_TRACE: Final = frozenset({_REFERENCE, b"traceparent", b"tracestate"})
# A proof is good for one request.
_ONCE: Final = b"dpop"
_name_of: Final = itemgetter(0)


class HeadKey(msgspec.Struct, frozen=True, cache_hash=True):
    """All of a head that a judgement may look at. *parts*: address, method, path, headers, …"""

    parts: tuple[Any, ...]


class Head(msgspec.Struct, frozen=True):
    """The head of a request.

    *key*: all of it, but for the values in *varying*, which differ each time and which no judgement
    looks at: the length of the body (one number) and the trace. *same*: the headers in the key.
    *given*: the client's own ``X-Request-ID``. It goes nowhere, unless the peer is trusted.
    """

    key: HeadKey
    same: RawHeaders
    varying: dict[bytes, bytes]
    given: bytes | None


_NO_KEY: Final = HeadKey(())


def unkept_head(scope: Scope) -> Head:
    """The head of a request of which nothing will be remembered. It has no key."""
    headers: RawHeaders = scope["headers"]
    if scope.get(REPEATED) is not None or _TRACE.isdisjoint(dict(headers)):
        return Head(_NO_KEY, headers, {}, None)
    return Head(_NO_KEY, *_split(headers, _places_of_a_trace[*map(_name_of, headers)]))


def head_of_served(scope: Scope) -> Head:
    """As `head_of`, for a *scope* as Mintage's own server made it, which may know the head."""
    repeated: Repeated | None = scope.get(REPEATED)
    if repeated is None:
        return head_of(scope)
    client = scope["client"]
    address, length_at = client and client[0], repeated.length_at
    head: Head = repeated.read
    if head is None or address != repeated.address:
        repeated.read = head = head_of(scope)
        repeated.address = address
    elif length_at is not None:
        varying = dict((scope["headers"][length_at],))
        return Head(head.key, head.same, varying, None)
    return head


def head_of(scope: Scope) -> Head:
    """The head of an HTTP request or of the handshake of a WebSocket."""
    headers: RawHeaders = scope["headers"]
    varying: dict[bytes, bytes] = {}
    given = None
    if places := _places[*map(_name_of, headers)]:
        headers, varying, given = _split(headers, places)
    client = scope.get("client")
    parts = (
        client[0] if client else None,
        scope.get("method"),
        scope["path"],
        scope.get("raw_path"),
        scope.get("query_string"),
        (*varying,),
        *map(tuple, headers),
    )
    return Head(HeadKey(parts), headers, varying, given)


class _Places(BoundedMemory[tuple[bytes, ...], tuple[int, ...]]):
    """By the names of the headers: where those in *differing* are, the last first.

    A name that is there twice does not differ each time, unless it is the reference: that goes
    nowhere. Clients send the same few names.
    """

    def __init__(self, differing: frozenset[bytes]) -> None:
        super().__init__(_KEPT)
        self._differing = differing

    def __missing__(self, names: tuple[bytes, ...]) -> tuple[int, ...]:
        found = [
            at
            for at, name in enumerate(names)
            if name in self._differing and (name == _REFERENCE or names.count(name) == 1)
        ]
        places = (*reversed(found),)
        if sum(map(len, names)) <= _USUAL_NAMES:
            self[names] = places
        return places


_places: Final = _Places(_TRACE | {_LENGTH})
_places_of_a_trace: Final = _Places(_TRACE)


def _split(
    headers: RawHeaders, places: tuple[int, ...]
) -> tuple[RawHeaders, dict[bytes, bytes], bytes | None]:
    """(headers that are the same each time, those that vary, the client's reference)"""
    same = [*headers]
    varying: dict[bytes, bytes] = {}
    given: list[bytes] = []
    for at in places:
        name, value = headers[at]
        if name == _REFERENCE:
            given.append(value)
            del same[at]
        elif len(value) <= _LONGEST_VARYING and (name != _LENGTH or value.isdigit()):
            varying[name] = value
            del same[at]
    if not given:
        return same, varying, None
    is_one = len(given) == 1 and len(given[0]) <= _LONGEST_VARYING
    return same, varying, given[0] if is_one else None


class Known(msgspec.Struct, frozen=True):
    """What is known of a head. *answer* gets *judged* for each request that has it.

    *endpoint*: the name of what answers. *address*: the client's. *tally*: who counts requests.
    """

    answer: "Answer"
    judged: Any
    endpoint: str
    address: str | None
    tally: Tally | None


Answer: TypeAlias = Callable[[Any, Head, Scope, Receive, Send], Awaitable[None]]
"""(what was judged, the head, …) → answers a request, and asks all that may have changed.

It sees to the reference of its response itself (`web.references`).
"""

Keep: TypeAlias = Callable[[Answer, Any], None]
"""Called with what to keep of the head of a request that was admitted."""


class KnownHeads(BoundedMemory[HeadKey, Known]):
    """Heads of requests that were admitted, by their keys."""

    def __init__(self) -> None:
        super().__init__(_KEPT)

    def keep(self, head: Head, known: Known) -> None:
        """Keep *known*, unless the head is long or will not come again."""
        key, headers = head.key, head.same
        if len(headers) > _MOST_KEPT or _ONCE in dict(headers):
            return
        _, _, path, raw_path, query, *_ = key.parts
        line = len(path) + len(raw_path or b"") + len(query or b"")
        if line + len(b"".join(chain.from_iterable(headers))) <= _LONGEST_KEPT:
            self[key] = known
