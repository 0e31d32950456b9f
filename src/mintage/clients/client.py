"""A client, in whichever way it registered."""

import hmac
from typing import Final, Literal

from mintage.clients.exchanging import Exchanging
from mintage.clients.redirects import RedirectUri
from mintage.partly_shown import PartlyShown
from mintage.values import ClientId, Scopes

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
AUTH_METHODS: Final[tuple[AuthMethod, ...]] = (
    "none", "client_secret_basic", "client_secret_post", "private_key_jwt",
)  # fmt: skip
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 §3.4
GRANT_TYPES: Final = ("authorization_code", "refresh_token", DEVICE_CODE)
"""Those that any client may register for."""
CLIENT_CREDENTIALS: Final = "client_credentials"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Client(PartlyShown, frozen=True, kw_only=True):
    """A client (RFC 6749 §2), and how Mintage knows it.

    Args:
        client_id: Its identifier.
        name: The name that the consent page shows.
        redirect_uris: The redirect URIs that it registered (RFC 6749 §3.1.2.2).
        auth_method: How it authenticates at the token endpoint (RFC 7591 §2).
        grant_types: The grant types that it may use (RFC 7591 §2).
        secret: Its client secret, if it has one.
        jwks: Its public keys as JSON (RFC 7517), for ``private_key_jwt``.
        jwks_uri: The URL of its public keys, for ``private_key_jwt``.
        scopes: The scopes that it may ask for. None: all.
        host: The host of its client id metadata document, if it came by one.
        vouched: Whether the operator wrote it into the configuration.
        introspects: The paths of resources whose tokens it may introspect (RFC 7662).
        pushes: Whether it must push its authorization requests (RFC 9126 §6).
        exchanging: What it may get by token exchange (RFC 8693). None: nothing.
        resources: The paths of resources for which it may get tokens for itself (RFC 6749 §4.4).
        dpop_bound: Whether it gets only tokens that are bound to a key (RFC 9449 §5.2).
    """

    not_shown = ("secret", "jwks")

    client_id: ClientId
    name: str
    redirect_uris: tuple[RedirectUri, ...]
    auth_method: AuthMethod
    grant_types: tuple[str, ...]
    secret: str | None = None
    jwks: bytes | None = None
    jwks_uri: str | None = None
    scopes: Scopes | None = None
    host: str | None = None
    vouched: bool = False
    introspects: tuple[str, ...] = ()
    pushes: bool = False
    exchanging: Exchanging | None = None
    resources: tuple[str, ...] = ()
    dpop_bound: bool = False

    @property
    def is_public(self) -> bool:
        """Whether it does not authenticate at the token endpoint (RFC 6749 §2.1)."""
        return self.auth_method == "none"

    def secret_matches(self, presented: str) -> bool:
        """Compare a client secret in constant time.

        Args:
            presented: The secret that came with the request.

        Returns:
            Whether it is this client's. False for a client that has no secret.
        """
        return self.secret is not None and hmac.compare_digest(
            self.secret.encode(), presented.encode("utf-8", "surrogatepass")
        )
