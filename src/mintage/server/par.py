"""``/par``: a client pushes its authorization request, and gets a ``request_uri`` (RFC 9126 §2).

The request is checked as ``/authorize`` checks it, and once more when the browser brings it.
"""

from collections.abc import Callable, Hashable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.authentication import Authenticator
from mintage.concurrency.rate_limits import no_limit
from mintage.errors import InvalidDpopProof, InvalidRequest
from mintage.server.authorization_checks import AuthorizationChecks
from mintage.server.client_address import network_of
from mintage.server.proof_of_key import ProofOfKey
from mintage.server.pushed_requests import PushedSeal
from mintage.server.requests import Pushed, redirect_uri_of
from mintage.values import Clock
from mintage.web.edge import authorization_of, json_response, read_form
from mintage.web.forms import Form, optional


class PushedAuthorizationEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """*seconds*: how long a ``request_uri`` may be used. *limit_by_address* counts by network."""

    authenticate: Authenticator
    checks: AuthorizationChecks
    proof_of_key: ProofOfKey
    seal: PushedSeal
    seconds: int
    clock: Clock
    limit_by_address: Callable[[Hashable], None] = no_limit

    async def __call__(self, request: Request) -> Response:
        address = request.client.host if request.client else None
        self.limit_by_address(network_of(address))
        form = await read_form(request)
        client = await self.authenticate(form, authorization_of(request), concerns=None)
        if form.get("request_uri"):
            raise InvalidRequest(
                "leave request_uri out of a pushed request, and push the parameters"
            )
        jkt = self.proof_of_key.jkt(request)
        form = _bound(form, jkt)
        expires_at = int(self.clock()) + self.seconds
        pushed = Pushed(bytes(16), expires_at)  # as large as the one that it gets
        self.checks.check(form, client, redirect_uri_of(form, client), pushed)
        request_uri = self.seal.seal(form, client_id=client.client_id, expires_at=expires_at)
        return json_response(
            {"request_uri": request_uri, "expires_in": self.seconds},
            status=201,
            headers=self.proof_of_key.headers(jkt),
        )


def _bound(form: Form, jkt: str | None) -> Form:
    """*form* with the key whose proof came with it, which must redeem the code (RFC 9449 §10.1)."""
    if jkt is None:
        return form
    if optional(form, "dpop_jkt") not in (None, jkt):
        raise InvalidDpopProof("dpop_jkt must be the thumbprint of the DPoP proof's key")
    return {**form, "dpop_jkt": (jkt,)}
