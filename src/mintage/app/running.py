"""The application while it is open, for programs that inspect it or serve beside it."""

from collections.abc import Mapping

import msgspec
from starlette.types import ASGIApp

from mintage.app.client_denials import ClientDenials
from mintage.app.router import Router
from mintage.app.secret_needs import SecretNeeds
from mintage.events.listeners import Listeners
from mintage.gateway.gateway import Gateway
from mintage.grant_tokens import Tokens
from mintage.resource.bearer import Bearer
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.site.site import Site
from mintage.stores.protocol import Store
from mintage.telemetry.telemetry import Telemetry
from mintage.upstream.protocol import UpstreamClient
from mintage.upstream.registry import Upstreams
from mintage.vault.vault import Vault


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The application while it is open. `Mintage.running` makes it; don't construct it.

    Args:
        store: The store that is open.
        vault: The grants. ``vault.listing`` lists and ends them.
        tokens: What issues and verifies the tokens of all resources.
        revoker: What revokes tokens at the identity provider.
        events: The security events. ``events.attach(listener)`` passes them to a function.
        site, bearer, upstreams, others, secret_needs, gateway, router: Private, and may change.
        telemetry, entry, client_denials: Private, and may change.
    """

    site: Site
    store: Store
    vault: Vault
    tokens: Tokens
    bearer: Bearer
    upstreams: Upstreams
    others: Mapping[tuple[str, str], UpstreamClient]
    revoker: UpstreamRevoker
    secret_needs: SecretNeeds
    events: Listeners
    gateway: Gateway
    router: Router
    telemetry: Telemetry
    entry: ASGIApp
    client_denials: ClientDenials

    def answers_at(self, path: str) -> bool:
        """Whether one of Mintage's own endpoints answers at a path.

        Args:
            path: The path of a request.

        Returns:
            True for an endpoint; False for a resource, and for everything else.
        """
        return self.router.answers_at(path)

    def drain(self) -> None:
        """End the streams that would never end by themselves."""
        self.gateway.drain()
