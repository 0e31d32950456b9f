"""What happens around every request: it gets a reference, and its refusal becomes an event."""

from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.events.event import NOBODY, Emit
from mintage.events.requests import RequestRefused
from mintage.gateway.peers import Peers
from mintage.values import RandomBytes
from mintage.web.current_request import CURRENT, TRACE_ID, CurrentRequest
from mintage.web.edge import REFERENCE

_REFERENCE_BYTES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Makes the `CurrentRequest` of each request. *peers*: the proxies whose addresses count."""

    peers: Peers
    random_bytes: RandomBytes
    emit: Emit

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Call *app* for a request, unless this is done further out already."""
        if REFERENCE in scope and CURRENT.get() is not None:
            return await app(scope, receive, send)
        request = self._begin(scope)
        token = CURRENT.set(request)
        try:
            await app(scope, receive, send)
        finally:
            self._end(request)
            CURRENT.reset(token)

    def _begin(self, scope: Scope) -> CurrentRequest:
        reference = scope[REFERENCE] = self.random_bytes(_REFERENCE_BYTES).hex()
        peer = scope["client"][0] if scope.get("client") else None
        address = self.peers.client_of(peer, scope["headers"])
        return CurrentRequest(reference, address, scope.get(TRACE_ID))

    def _end(self, request: CurrentRequest) -> None:
        if (refusal := request.refusal) is not None:
            self.emit(
                RequestRefused(
                    party=NOBODY if request.caller is None else request.caller.party,
                    endpoint=request.endpoint,
                    stage=refusal.stage,
                    code=refusal.code,
                    status=refusal.status,
                )
            )
