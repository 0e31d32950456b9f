"""The request that this task works for: its reference, its client, and how it was refused.

Code far below the endpoints has no request at hand, and yet the log and the security events name
one. Tasks that a request starts inherit it.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Final, Literal, Protocol

import msgspec

from mintage.events.event import NOWHERE, Origin, Party


class Caller(Protocol):
    """Who sent a request with a valid token."""

    @property
    def party(self) -> Party: ...


Lasting = Literal["", "stream", "websocket"]
"""How a response lasts beyond its head, if it does."""


class Tally(Protocol):
    """Counts the requests to one place, and the seconds to the head of each response."""

    @property
    def of_status(self) -> Mapping[int, Callable[[float], None]]:
        """By the status of a response: what takes its seconds."""

    def unanswered(self, seconds: float) -> None:
        """A request ended without a response."""

    def open(self, lasting: Lasting, change: int) -> None:
        """So many more event streams or WebSockets are open now."""


class Refusal(msgspec.Struct, frozen=True):
    """How a request was refused (see `RequestRefused`), and the grant of its token, if known."""

    stage: str
    code: str
    status: int
    grant: str | None = None


class CurrentRequest(msgspec.Struct):
    """What is known of a request so far. *reference*: see `edge.reference_of`.

    *endpoint*: the name of what answers it, below the issuer; `RESOURCE` for a protected resource,
    and `ADMIN` for the admin API.
    *caller*: after its token was verified. *refusal*:
    after it was refused. *status*: of the response, after it has begun.
    *began*: by `perf_counter`. *tally*: who counts it, as long as there is something to count.
    """

    reference: str
    address: str | None = None
    trace_id: str | None = None
    endpoint: str = "none"
    tally: Tally | None = None
    caller: Caller | None = None
    refusal: Refusal | None = None
    status: int | None = None
    began: float = msgspec.field(default_factory=perf_counter)
    _lasting: Lasting = ""

    def answered(self, status: int, lasting: Lasting = "") -> None:
        """Count its response, which begins now, unless that is done. Call `over` at its end."""
        tally = self.tally
        if tally is None or self._lasting:
            return
        tally.of_status[status](perf_counter() - self.began)
        if lasting:
            self._lasting = lasting
            tally.open(lasting, 1)
        else:
            self.tally = None

    def over(self) -> None:
        """Count its end, if its response lasted or there was none."""
        if self.tally is None:
            return
        if self._lasting:
            self.tally.open(self._lasting, -1)
        else:
            self.tally.unanswered(perf_counter() - self.began)

    @property
    def origin(self) -> Origin:
        return Origin(address=self.address, reference=self.reference, trace_id=self.trace_id)


RESOURCE: Final = "resource"
ADMIN: Final = "admin"
FIELDS: Final = "mintage_fields"
"""The attribute of a log record with more members for its line of JSON, as a dict."""

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


def note_tally(tally: Tally | None) -> None:
    """*tally* counts the current request."""
    if (request := CURRENT.get()) is not None:
        request.tally = tally


def note_caller(caller: Caller) -> None:
    """The token of the current request is valid, and it is *caller*'s."""
    if (request := CURRENT.get()) is not None:
        request.caller = caller


def note_refusal(*, stage: str, code: str, status: int, grant: str | None = None) -> None:
    """The current request is refused."""
    if (request := CURRENT.get()) is not None:
        request.refusal = Refusal(stage, code, status, grant)
