"""Requests to backends, counted."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Self

import msgspec

from mintage.errors import InvalidRequest
from mintage.gateway.http1.connection import BackendError
from mintage.gateway.http1.request import ClientGone
from mintage.telemetry.metrics import BACKEND_SECONDS
from mintage.telemetry.steps import Meter, Number
from mintage.telemetry.words import Timers

_FAILURES: Final = {502: "unreachable", 503: "busy", 504: "timeout"}


class BackendTally(msgspec.Struct, frozen=True):
    """Counts the requests to the backend of one resource (see `http1.request.Tally`)."""

    timers: Timers
    of_status: Mapping[int, Number]

    @classmethod
    def at(cls, path: str, meter: Meter) -> Self:
        """*path*: the resource's."""
        timers = Timers(partial(meter.timer, BACKEND_SECONDS, path))
        return cls(timers, timers.of_status)

    def failed(self, error: BaseException, seconds: float) -> None:
        self.timers[outcome_of(error)](seconds)


def outcome_of(error: BaseException) -> str:
    """Why there is no response: ``gone`` if the client left before it came."""
    if isinstance(error, BackendError):
        return _FAILURES.get(error.status, "unreachable")
    if isinstance(error, InvalidRequest):
        return "refused"
    return "gone" if isinstance(error, ClientGone) else "cancelled"
