"""What another proxy asks about: one request, described by its own.

Clients send the same request again and again: the same token, the same path. All that depends on
nothing but the question is found once (`Known`). Whether the grant is live is asked each time.
"""

from collections.abc import Sized
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

from starlette.types import Scope

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.gateway.access_guard import Screened
from mintage.gateway.backend import Backend
from mintage.gateway.headers import RawHeaders

Key: TypeAlias = tuple[Sized, ...]

_KEPT: Final = 1000  # questions
_LONGEST_KEPT: Final = 4096  # bytes of such a question
_OF_THE_LINE: Final = 3  # parts of a key that are not headers


@dataclass(slots=True)
class Question:
    """A question as far as it was judged: a refusal tells what is known by then.

    *path* and *query* are of the request in question, as they were sent. *backend*, *rest*: its
    resource, and its path below that. *may_keep*: whether the proxy's key holds all of it.
    *screened*: see `AccessGuard.screen`.
    """

    method: str
    path: bytes
    query: bytes
    backend: Backend | None = None
    rest: str = ""
    may_keep: bool = False
    websocket: bool = False
    screened: Screened | None = None


def key_of(scope: Scope) -> Key:
    """All that an answer can depend on, but for who asks: the whole head of the question.

    The reference of the request is the last header, if the server has given it one. It is for the
    log alone.
    """
    headers: RawHeaders = scope["headers"]
    if headers and headers[-1][0] == b"x-request-id":
        headers = headers[:-1]
    return (
        scope["method"],
        scope.get("raw_path") or scope["path"],
        scope.get("query_string", b""),
        *headers,
    )


class Known(BoundedMemory[Key, Question]):
    """Questions whose requests were admitted, by `key_of`."""

    def __init__(self) -> None:
        super().__init__(_KEPT)

    def keep(self, key: Key, question: Question, headers: RawHeaders) -> None:
        """Keep *question*, unless it will not come again, or is too long."""
        if question.screened is None or question.websocket:
            return
        size = sum(map(len, key[:_OF_THE_LINE])) + len(b"".join(chain.from_iterable(headers)))
        if size <= _LONGEST_KEPT:
            self[key] = question


def opens_a_websocket(headers: RawHeaders) -> bool:
    """Whether the client opens a WebSocket (RFC 6455 §4.1).

    Proxies remove ``Upgrade`` when they ask, and leave these headers in.
    """
    return any(name.startswith(b"sec-websocket-") or name == b"upgrade" for name, _ in headers)
