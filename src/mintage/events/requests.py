"""Events of requests that were refused."""

from typing import ClassVar

from mintage.events.event import Event


class RequestRefused(Event, frozen=True, kw_only=True):
    """A request was refused. There may be very many: any stranger can cause them.

    *endpoint*: one of Mintage's, or ``resource`` or ``verify``. *stage*: which check refused.
    *code*: the error code of OAuth. *status*: of HTTP. All four have few values.
    """

    action: ClassVar[str] = "request_refused"

    endpoint: str
    stage: str
    code: str
    status: int
