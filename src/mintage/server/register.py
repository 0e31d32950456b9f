"""``/register`` (RFC 7591), stateless: the ``client_id`` in the response is the registration."""

import hmac
from collections.abc import Callable, Hashable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.denied import DeniedClients
from mintage.clients.policy import DocumentPolicy
from mintage.clients.redirects import hosts_of
from mintage.clients.registration import ClientIds, parse_registration
from mintage.concurrency.rate_limits import no_limit
from mintage.errors import InvalidClientMetadata, InvalidToken
from mintage.events.clients import ClientRegistered
from mintage.events.event import Emit, Party, ignore
from mintage.server.client_address import network_of
from mintage.values import Clock, RandomBytes, Secret
from mintage.web.edge import NO_STORE, authorization_of, json_response, read_json


class RegisterEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """*token*: the initial access token (§3) that registration requires; None: all may register.

    *policy*: the hosts that keys may be fetched from. *denied*: clients that may not register.
    *limit_by_address* and *limit* count registrations, by network and in all.
    """

    client_ids: ClientIds
    policy: DocumentPolicy
    clock: Clock
    random_bytes: RandomBytes
    token: Secret | None = None
    denied: DeniedClients | None = None
    limit_by_address: Callable[[Hashable], None] = no_limit
    limit: Callable[[Hashable], None] = no_limit
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        self._check_token(authorization_of(request))
        address = request.client.host if request.client else None
        self.limit_by_address(network_of(address))
        self.limit(None)
        registration = parse_registration(await read_json(request))
        if registration.jwks_uri is not None and not self.policy.permits_url(registration.jwks_uri):
            raise InvalidClientMetadata(
                "keys are not fetched from this jwks_uri; send them as jwks"
            )
        registered = self.client_ids.issue(
            registration, now=int(self.clock()), salt=self.random_bytes(8)
        )
        client = registered.client
        if self.denied is not None:
            self.denied.check_registration(client)
        self.emit(
            ClientRegistered(
                party=Party(client_id=client.client_id),
                redirect_hosts=hosts_of(client.redirect_uris),
            )
        )
        return json_response(registered.response(), status=201, headers=NO_STORE)

    def _check_token(self, authorization: str | None) -> None:
        if self.token is None:
            return
        scheme, _, presented = (authorization or "").partition(" ")
        given = presented.strip().encode("utf-8", "surrogatepass")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self.token.reveal()):
            raise InvalidToken(
                "registration here needs the registration token; ask the operator of this server",
                reason="no or wrong registration token",
                stage="client",
            )
