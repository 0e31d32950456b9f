"""What a fake provider states in an ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant §3)."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

ID_JAG: Final = "urn:ietf:params:oauth:token-type:id-jag"
_SECONDS: Final = 300


def id_jag_claims(
    issuer: str, user: str, client_id: str, asked: Mapping[str, str], *, now: int
) -> dict[str, Any]:
    """The claims for *user*, for the client *client_id* at the server that *asked* names."""
    claims = {
        "iss": issuer,
        "sub": user,
        "aud": asked["audience"],
        "client_id": client_id,
        "jti": secrets.token_urlsafe(12),
        "iat": now,
        "exp": now + _SECONDS,
        "email": f"{user}@example.com",
    }
    return claims | {name: asked[name] for name in ("resource", "scope") if name in asked}
