"""Requests and WebSockets of clients, measured around the router of the application."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.endpoints import VERIFY, endpoint_name
from mintage.errors import OAuthError
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.telemetry.metrics import OPEN_STREAMS, OPEN_WEBSOCKETS, REQUEST_SECONDS, Metric
from mintage.telemetry.steps import Meter
from mintage.telemetry.words import Timers, is_event_stream
from mintage.web.current_request import RESOURCE

Place = tuple[str, str]
"""(endpoint, resource): in words that the settings bound."""

PlaceOf = Callable[[Scope], Place]
TimersByPlace = dict[Place, Timers]

_NOWHERE: Final = ("none", "")
_MAX_FOUND: Final = 512  # paths


def endpoint_names(paths: Iterable[str], base_path: str) -> dict[str, Place]:
    """The name of the endpoint at each of *paths*, which may be below *base_path*."""
    names = {}
    for path in paths:
        below = path if path.startswith("/.well-known/") else path.removeprefix(base_path)
        names[path] = (endpoint_name(below.strip("/")), "")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Which endpoint and which resource a request goes to."""

    names: Mapping[str, Place]
    gateway: Gateway
    forward_auth: ForwardAuth | None
    _resources: BoundedMemory[bytes, Place] = field(
        default_factory=lambda: BoundedMemory(_MAX_FOUND), init=False, repr=False
    )

    def of(self, scope: Scope) -> Place:
        """The place of a request. Those of resources are remembered: most requests go to few."""
        raw_path = scope.get("raw_path") or scope["path"].encode()
        known = self._resources.get(raw_path)
        if known is None:
            known = self._look_up(scope, raw_path)
            if known[0] == RESOURCE and not self._may_be_asked(scope):
                self._resources[raw_path] = known
        return known

    def _may_be_asked(self, scope: Scope) -> bool:
        """Whether another request for this path may be a proxy's question, and this one is not."""
        return self.forward_auth is not None and self.forward_auth.answers_at(scope["path"])

    def _look_up(self, scope: Scope, raw_path: bytes) -> Place:
        if (name := self.names.get(scope["path"])) is not None:
            return name
        if self.forward_auth is not None and self.forward_auth.is_asked(scope):
            return VERIFY.name, ""
        try:
            found = self.gateway.find(raw_path)
        except OAuthError:
            return _NOWHERE
        return _NOWHERE if found is None else (RESOURCE, found.target.resource.path)


class MeasuredRouter(msgspec.Struct, frozen=True):
    """Passes each request on to *router*, and measures it."""

    router: ASGIApp
    place_of: PlaceOf
    meter: Meter
    timers: TimersByPlace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = self.place_of(scope)
        timers = self.timers.get(place)
        if timers is None:
            timers = self.timers[place] = Timers(partial(self.meter.timer, REQUEST_SECONDS, *place))
        sending = _Sending(timers, send, self.meter, place[1])
        try:
            await self.router(scope, receive, sending)
        finally:
            sending.close()


class _Sending:
    """*send*, which notices when the response begins, and whether it lasts."""

    __slots__ = ("_answered", "_began", "_lasting", "_meter", "_resource", "_send", "_timers")

    def __init__(self, timers: Timers, send: Send, meter: Meter, resource: str) -> None:
        self._timers = timers
        self._send = send
        self._meter = meter
        self._resource = resource
        self._lasting: Metric | None = None
        self._answered = False
        self._began = perf_counter()

    def __call__(self, message: Message) -> Awaitable[None]:
        if not self._answered:
            kind = message["type"]
            if kind in ("http.response.start", "websocket.http.response.start"):
                self._answer(message["status"])
                if is_event_stream(message.get("headers", ())):
                    self._open(OPEN_STREAMS)
            elif kind == "websocket.accept":
                self._answer(101)
                self._open(OPEN_WEBSOCKETS)
            elif kind == "websocket.close":
                self._answer(403)
        return self._send(message)

    def _answer(self, status: int) -> None:
        self._answered = True
        self._timers.of_status[status](perf_counter() - self._began)

    def _open(self, metric: Metric) -> None:
        self._lasting = metric
        self._meter.add(metric, 1, self._resource)

    def close(self) -> None:
        """The request is over."""
        if not self._answered:
            self._timers["none"](perf_counter() - self._began)
        if self._lasting is not None:
            self._meter.add(self._lasting, -1, self._resource)
