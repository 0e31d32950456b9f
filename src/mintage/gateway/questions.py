"""What another proxy asks about: one request, described by its own."""

import msgspec

from mintage.gateway.access_guard import Screened
from mintage.gateway.backend import Backend
from mintage.gateway.headers import RawHeaders


class Question(msgspec.Struct):
    """A question as far as it was judged: a refusal tells what is known by then.

    *path* and *query* are of the request in question, as they were sent. *backend*, *rest*: its
    resource, and its path below that. *may_keep*: whether the proxy's key holds all of it.
    *screened*: see `AccessGuard.screen`. It is not changed once it is kept.
    """

    method: str
    path: bytes
    query: bytes
    backend: Backend | None = None
    rest: str = ""
    may_keep: bool = False
    websocket: bool = False
    screened: Screened | None = None


def opens_a_websocket(headers: RawHeaders) -> bool:
    """Whether the client opens a WebSocket (RFC 6455 §4.1).

    Proxies remove ``Upgrade`` when they ask, and leave these headers in.
    """
    return any(name.startswith(b"sec-websocket-") or name == b"upgrade" for name, _ in headers)
