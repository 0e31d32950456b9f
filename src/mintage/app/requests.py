"""What happens around every request: its reference, its line in the log, and its refusal."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.events.event import NOBODY, Emit
from mintage.events.requests import RequestRefused
from mintage.gateway.headers import RawHeaders
from mintage.gateway.heads import Head, Known, head_of
from mintage.gateway.peers import Peers
from mintage.logs import access
from mintage.values import RandomBytes
from mintage.web.current_request import (
    CURRENT,
    TRACE_ID,
    CurrentRequest,
    Tally,
    note_endpoint,
    note_tally,
)
from mintage.web.edge import REFERENCE
from mintage.web.references import REQUEST_ID, reference_of_response, referring, without_reference

_REFERENCE_BYTES: Final = 6
_DRAWN: Final = 128  # references at once
_DIGITS: Final = 2 * _REFERENCE_BYTES
_EACH: Final = [slice(at, at + _DIGITS) for at in range(0, _DIGITS * _DRAWN, _DIGITS)]
_TRACEPARENT: Final = b"traceparent"
_ACCEPTED_ID: Final = re.compile(rb"[A-Za-z0-9._:+/=-]{1,100}")
# W3C Trace Context, §3.2: version, trace-id, parent-id and flags. All zeros is no trace-id.
_TRACE: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Makes the `CurrentRequest` of each request. *peers*: the proxies whose headers count.

    The reference goes to the application and its backends as ``X-Request-ID``, and back to the
    client.
    """

    peers: Peers
    random_bytes: RandomBytes
    emit: Emit
    _references: Iterator[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_references", _references(self.random_bytes))

    async def __call__(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        head: Head | None = None,
        known: Known | None = None,
        *,
        tally: Tally | None = None,
        names: bool = True,
    ) -> None:
        """Call *app* for a request, unless this is done further out already.

        *head*: of the request, if it was read already, and what is *known* of it. *tally*: who
        counts a request of which nothing is known. *names*: whether the response gets its reference
        here; otherwise *app* sees to that (`web.references`).
        """
        if REFERENCE in scope and CURRENT.get() is not None:
            if known is not None:
                note_endpoint(known.endpoint)
                tally = known.tally
            if tally is not None:
                note_tally(tally)
            return await app(scope, receive, send)
        request = self._begin(scope, head or head_of(scope), known, tally)
        token = CURRENT.set(request)
        try:
            if names:
                send = referring(send)
            answering = app(scope, receive, send)
            del app, head  # they would be in memory for as long as a stream lasts
            await answering
        finally:
            if request.tally is not None:
                request.over()
            if request.refusal is not None:
                self._tell_refusal(request)
            if access.is_on():
                access.write(scope, request, perf_counter() - request.began)
            CURRENT.reset(token)

    def _begin(
        self, scope: Scope, head: Head, known: Known | None, tally: Tally | None
    ) -> CurrentRequest:
        """The request of *scope*, whose headers end with its reference in place of the client's."""
        given, varying = head.given, head.varying
        if known is None:
            client = scope.get("client")
            peer = client[0] if client else None
            address, endpoint = self.peers.client_of(peer, head.same), "none"
        else:
            address, endpoint, tally = known.address, known.endpoint, known.tally
        reference = next(self._references) if given is None else self._accepted(scope, given)
        scope[REFERENCE] = reference
        scope["headers"] = [*head.same, *varying.items(), (REQUEST_ID, reference.encode())]
        trace = scope.get(TRACE_ID)
        if trace is None and _TRACEPARENT in varying:
            trace = _trace_of(varying[_TRACEPARENT])
        return CurrentRequest(reference, address, trace, endpoint, tally)

    def _accepted(self, scope: Scope, given: bytes) -> str:
        """The reference that a trusted proxy has *given*, or a new one."""
        client = scope.get("client")
        if self.peers.trusts(client[0] if client else None) and _ACCEPTED_ID.fullmatch(given):
            return given.decode()
        return next(self._references)

    def _tell_refusal(self, request: CurrentRequest) -> None:
        assert request.refusal is not None  # noqa: S101  (the caller looked)
        self.emit(
            RequestRefused(
                party=NOBODY if request.caller is None else request.caller.party,
                endpoint=request.endpoint,
                stage=request.refusal.stage,
                code=request.refusal.code,
                status=request.refusal.status,
            )
        )


def named(response: Response, headers: RawHeaders) -> Response:
    """*response* with *headers* and the reference of the current request, which notes its status.

    It changes *response*, which must not be sent twice.
    """
    reference = reference_of_response(response.status_code)
    response.raw_headers = [*without_reference(headers), *reference] if reference else headers
    return response


def _references(random_bytes: RandomBytes) -> Iterator[str]:
    """References without end. To draw many at once costs less than one for each request."""
    return chain.from_iterable(_draws(random_bytes))


def _draws(random_bytes: RandomBytes) -> Iterator[Iterable[str]]:
    while True:
        drawn = random_bytes(_REFERENCE_BYTES * _DRAWN).hex()
        yield map(drawn.__getitem__, _EACH)


def _trace_of(traceparent: bytes) -> str | None:
    """The id of the trace that the request belongs to, if nobody has begun a span for it."""
    found = _TRACE.fullmatch(traceparent)
    return None if found is None else found[1].decode()
