"""Requests to backends, measured."""

from functools import partial
from time import perf_counter
from typing import Final

from mintage.errors import InvalidRequest
from mintage.gateway.headers import RawHeaders
from mintage.gateway.http1.connection import BackendError, Connection
from mintage.gateway.http1.pool import Begun, Pool, User
from mintage.gateway.http1.request import BackendRequest, Body, ClientGone
from mintage.site.resource import Resource
from mintage.telemetry.metrics import BACKEND_SECONDS
from mintage.telemetry.steps import Meter
from mintage.telemetry.words import Timers

_FAILURES: Final = {502: "unreachable", 503: "busy", 504: "timeout"}


class MeasuredRequests:
    """Makes the requests of a `Proxy`, measured by *meter* (see `mintage.gateway.proxy.Ask`)."""

    def __init__(self, meter: Meter) -> None:
        self._timers: dict[str, Timers] = {}
        self._meter = meter

    def __call__(
        self,
        resource: Resource,
        pool: Pool,
        begun: Begun,
        more: RawHeaders,
        body: Body,
        user: User,
    ) -> BackendRequest:
        timers = self._timers.get(resource.path)
        if timers is None:
            timers = Timers(partial(self._meter.timer, BACKEND_SECONDS, resource.path))
            self._timers[resource.path] = timers
        head = begun.head(more)
        return _MeasuredRequest(pool, begun.method, head, body, user, timers=timers)


class _MeasuredRequest(BackendRequest, eq=False, kw_only=True):
    """Measured until the head of its response is there."""

    timers: Timers

    async def answer(self) -> Connection:
        began = perf_counter()
        try:
            connection = await super().answer()
        except BaseException as error:
            self.timers[outcome_of(error)](perf_counter() - began)
            raise
        self.timers.of_status[connection.status](perf_counter() - began)
        return connection


def outcome_of(error: BaseException) -> str:
    """Why there is no response: ``gone`` if the client left before it came."""
    if isinstance(error, BackendError):
        return _FAILURES.get(error.status, "unreachable")
    if isinstance(error, InvalidRequest):
        return "refused"
    return "gone" if isinstance(error, ClientGone) else "cancelled"
