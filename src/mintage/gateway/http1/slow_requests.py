"""Notices the requests that take long, with one timer for all: one for each would cost each."""

import asyncio
from typing import Final, Protocol

SOON: Final = 0.05  # seconds


class Request(Protocol):
    def look(self) -> None:
        """It takes long."""


class SlowRequests:
    """Calls each request that is not removed within `SOON`, once, after twice that at most."""

    def __init__(self) -> None:
        self._since: dict[Request, float] = {}  # in the order of their beginning
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, request: Request, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """*request* begins *now*, in the time of *loop*."""
        self._since[request] = now
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(SOON, self._on_time, loop)

    def remove(self, request: Request) -> None:
        """*request* has ended."""
        self._since.pop(request, None)

    def _on_time(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        before = loop.time() - SOON
        for request in [request for request, since in self._since.items() if since <= before]:
            self.remove(request)
            request.look()
        if self._since and self._timer is None:
            self._timer = loop.call_later(SOON, self._on_time, loop)
