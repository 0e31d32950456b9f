"""A server's call when the client of a request disconnects, beside ASGI's messages.

A task that awaits `http.disconnect` takes a kilobyte, and an event stream would keep it for hours.
"""

from collections.abc import Callable
from typing import TypeAlias

from starlette.types import Receive

DisconnectHook: TypeAlias = Callable[[Callable[[], None]], None]
"""(what to call) → None: it is called once the client disconnects, at once if it has already."""


def disconnect_hook(receive: Receive) -> DisconnectHook | None:
    """What registers a call for the disconnect of the client that *receive* is for.

    It is the method ``when_disconnected`` of the object whose method *receive* is. None: the
    server has no such method, and only sends the message.
    """
    served_by = getattr(receive, "__self__", None)
    hook: DisconnectHook | None = getattr(served_by, "when_disconnected", None)
    return hook
