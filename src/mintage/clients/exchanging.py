"""What a backend may ask for by token exchange (RFC 8693), as the operator configured it. Pure."""

from collections.abc import Mapping

import msgspec

from mintage.values import ClientId, Scopes


class ExchangeTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A resource for which a backend gets tokens.

    Args:
        scopes: The scopes that such a token has at most.
        may_act: The only client that may exchange it further (RFC 8693 §4.4). None: each client
            that is configured to.
    """

    scopes: Scopes = ()
    may_act: ClientId | None = None


class Exchanging(msgspec.Struct, frozen=True, kw_only=True):
    """What one backend may exchange.

    Args:
        resource: The path of the resource that the backend serves: subject tokens are for it.
        targets: By the path of each other resource, what it may get there.
        upstream_token: Whether it may get the user's access token at the identity provider.
    """

    resource: str
    targets: Mapping[str, ExchangeTarget] = msgspec.field(default_factory=dict)
    upstream_token: bool = False
