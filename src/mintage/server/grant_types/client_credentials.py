"""``grant_type=client_credentials`` (RFC 6749 §4.4): a client acts for itself.

Only clients that the operator configured may use it, with what their entries say. Strangers who
register get no token without a user.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from mintage.clients.client import CLIENT_CREDENTIALS, Client
from mintage.concurrency.rate_limits import no_limit
from mintage.errors import InvalidScope, UnauthorizedClient
from mintage.grant_tokens import TokenResponse
from mintage.grants.machines import client_identity
from mintage.grants.states import Consent
from mintage.server.direct_tokens import DirectTokens, target_of
from mintage.server.grant_type import TEXT, Members, Parameters, TokenRequest
from mintage.server.requests import named_resource, scopes_of
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.trust.issuer import Purpose
from mintage.values import Clock, Scopes
from mintage.web.forms import Form


class ClientCredentialsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for in its own name: a token for *resource* with *scopes*."""

    resource: Resource
    scopes: Scopes

    @classmethod
    def parse(cls, form: Form, client: Client, site: Site) -> "ClientCredentialsRequest":
        """Raises `InvalidTarget`, `InvalidScope`, `InvalidRequest`."""
        resource = target_of(named_resource(form, site), site, client.resources)
        scopes, _ = scopes_of(form, (resource,), client.scopes)
        if not scopes and resource.scopes:
            raise InvalidScope(
                "this client may have no scope of the resource, which needs "
                f"{' '.join(resource.scopes)}; ask the operator of this server"
            )
        return cls(resource=resource, scopes=scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """*lifetime*: of a token, in seconds. *limit* counts the tokens of each client."""

    direct: DirectTokens
    clock: Clock
    lifetime: int
    limit: Callable[[Hashable], None] = no_limit

    name: ClassVar[str] = CLIENT_CREDENTIALS
    parameters: ClassVar = Parameters(
        needed={},
        others={"scope": TEXT, "resource": TEXT},
    )

    @staticmethod
    def metadata(_: str, __: Collection[Purpose], /) -> Members:
        return {}

    async def concerns(self, _: Form, __: Client) -> bool:
        """Never: what a stranger registered gets no token without a user."""
        raise _only_configured()

    async def issue(self, request: TokenRequest) -> TokenResponse:
        client = request.client
        check_client(client)
        asked = ClientCredentialsRequest.parse(request.form, client, self.direct.site)
        self.limit(client.client_id)
        now = int(self.clock())
        login = Consent(
            client_id=client.client_id,
            resource=asked.resource.identifier,
            scopes=asked.scopes,
            identity=client_identity(
                self.direct.site.issuer, client.client_id, {"name": client.name}
            ),
            created_at=now,
        )
        return await self.direct.issue(
            login,
            client,
            grant_type=self.name,
            ends_at=now + self.lifetime,
            source=request.source,
            jkt=request.jkt,
        )


def check_client(client: Client) -> None:
    """Raises `UnauthorizedClient` unless the operator configured *client*, and it authenticates."""
    if not client.vouched or client.auth_method == "none":
        raise _only_configured()


def _only_configured() -> UnauthorizedClient:
    return UnauthorizedClient(
        "client_credentials is for clients that the operator of this server configured, with a "
        "secret or a key: ask them for an entry"
    )
