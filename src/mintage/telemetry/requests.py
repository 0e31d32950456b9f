"""Requests and WebSockets of clients: where they go, and who counts them there."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Self

import msgspec
from starlette.types import Scope

from mintage.endpoints import VERIFY, endpoint_name
from mintage.errors import OAuthError
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.telemetry.metrics import OPEN_STREAMS, OPEN_WEBSOCKETS, REQUEST_SECONDS
from mintage.telemetry.steps import Meter, Number
from mintage.telemetry.words import Timers
from mintage.web.current_request import RESOURCE, Lasting

Place = tuple[str, str]
"""(endpoint, resource): in words that the settings bound."""

PlaceOf = Callable[[Scope], Place]

_NOWHERE: Final = ("none", "")


def endpoint_names(paths: Iterable[str], base_path: str) -> dict[str, Place]:
    """The name of the endpoint at each of *paths*, which may be below *base_path*."""
    names = {}
    for path in paths:
        below = path if path.startswith("/.well-known/") else path.removeprefix(base_path)
        names[path] = (endpoint_name(below.strip("/")), "")
    return names


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Which endpoint and which resource a request goes to."""

    names: Mapping[str, Place]
    gateway: Gateway
    forward_auth: ForwardAuth | None

    @classmethod
    def at(
        cls,
        paths: Iterable[str],
        base_path: str,
        gateway: Gateway,
        forward_auth: ForwardAuth | None,
    ) -> Self:
        """*paths*: those of the endpoints."""
        names = endpoint_names(paths, base_path)
        return cls(names=names, gateway=gateway, forward_auth=forward_auth)

    def of(self, scope: Scope) -> Place:
        if (name := self.names.get(scope["path"])) is not None:
            return name
        if self.forward_auth is not None and self.forward_auth.is_asked(scope):
            return VERIFY.name, ""
        try:
            found = self.gateway.find(scope.get("raw_path") or scope["path"].encode())
        except OAuthError:
            return _NOWHERE
        return _NOWHERE if found is None else (RESOURCE, found.target.resource.path)


class RequestTally(msgspec.Struct, frozen=True):
    """The `Tally` of the requests to one place."""

    meter: Meter
    resource: str
    timers: Timers
    of_status: Mapping[int, Number]

    @classmethod
    def at(cls, place: Place, meter: Meter) -> Self:
        timers = Timers(partial(meter.timer, REQUEST_SECONDS, *place))
        return cls(meter, place[1], timers, timers.of_status)

    def unanswered(self, seconds: float) -> None:
        self.timers["none"](seconds)

    def open(self, lasting: Lasting, change: int) -> None:
        metric = OPEN_STREAMS if lasting == "stream" else OPEN_WEBSOCKETS
        self.meter.add(metric, change, self.resource)
