"""The request that this task works for: its reference, its client, and how it was refused.

Code far below the endpoints has no request at hand, and yet the log and the security events name
one. Tasks that a request starts inherit it.
"""

from contextvars import ContextVar
from typing import Final, Protocol

import msgspec

from mintage.events.event import NOWHERE, Origin, Party


class Caller(Protocol):
    """Who sent a request with a valid token."""

    @property
    def party(self) -> Party: ...


class Refusal(msgspec.Struct, frozen=True):
    """How a request was refused (see `RequestRefused`)."""

    stage: str
    code: str
    status: int


class CurrentRequest(msgspec.Struct):
    """What is known of a request so far. *reference*: see `edge.reference_of`.

    *endpoint*: the name of what answers it, below the issuer; `RESOURCE` for a protected resource,
    and `ADMIN` for the admin API.
    *caller*: after its token was verified. *refusal*:
    after it was refused. *status*: of the response, after it has begun.
    """

    reference: str
    address: str | None = None
    trace_id: str | None = None
    endpoint: str = "none"
    caller: Caller | None = None
    refusal: Refusal | None = None
    status: int | None = None

    @property
    def origin(self) -> Origin:
        return Origin(address=self.address, reference=self.reference, trace_id=self.trace_id)


RESOURCE: Final = "resource"
ADMIN: Final = "admin"
TRACE_ID: Final = "mintage.trace_id"
"""In a scope: the id of the request's trace, if there is one."""

CURRENT: Final[ContextVar[CurrentRequest | None]] = ContextVar("mintage_request", default=None)


def current_origin() -> Origin:
    """Where an event comes from that happens now."""
    request = CURRENT.get()
    return NOWHERE if request is None else request.origin


def note_endpoint(name: str) -> None:
    """The current request is answered by the endpoint *name*."""
    if (request := CURRENT.get()) is not None:
        request.endpoint = name


def note_caller(caller: Caller) -> None:
    """The token of the current request is valid, and it is *caller*'s."""
    if (request := CURRENT.get()) is not None:
        request.caller = caller


def note_refusal(*, stage: str, code: str, status: int) -> None:
    """The current request is refused."""
    if (request := CURRENT.get()) is not None:
        request.refusal = Refusal(stage, code, status)
