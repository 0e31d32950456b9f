"""A client, whatever way it registered."""

import hmac
from dataclasses import dataclass, field
from typing import Final, Literal

from mintage.clients.redirects import RedirectUri
from mintage.values import ClientId, Scopes

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
AUTH_METHODS: Final[tuple[AuthMethod, ...]] = (
    "none", "client_secret_basic", "client_secret_post", "private_key_jwt",
)  # fmt: skip
GRANT_TYPES: Final = ("authorization_code", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What is known of a client, and from whom.

    *jwks* (a JSON document) or *jwks_uri* is where a ``private_key_jwt`` client's keys are.
    *scopes* is all that it may ask for, None for no limit. *host* is where it publishes its
    metadata document; *vouched*: the operator wrote it into the configuration. *introspects*:
    paths of the resources whose tokens it may ask about, being their server.
    """

    client_id: ClientId
    name: str
    redirect_uris: tuple[RedirectUri, ...]
    auth_method: AuthMethod
    grant_types: tuple[str, ...]
    secret: str | None = field(default=None, repr=False)
    jwks: bytes | None = field(default=None, repr=False)
    jwks_uri: str | None = None
    scopes: Scopes | None = None
    host: str | None = None
    vouched: bool = False
    introspects: tuple[str, ...] = ()

    def secret_matches(self, presented: str) -> bool:
        """Compares in constant time; a client without a secret has none that matches."""
        return self.secret is not None and hmac.compare_digest(
            self.secret.encode(), presented.encode("utf-8", "surrogatepass")
        )
