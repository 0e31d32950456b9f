"""What a fake provider gives in exchange for a token of its own: other tokens, and ID-JAGs.

See RFC 8693, and draft-ietf-oauth-identity-assertion-authz-grant §3 and §4.3.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

_KIND: Final = "urn:ietf:params:oauth:token-type"
ID_JAG: Final = f"{_KIND}:id-jag"
_EXCHANGED_SECONDS: Final = 120
_SECONDS: Final = 300


def exchanged(audience: str) -> dict[str, Any]:
    """The answer with a token for *audience*."""
    return {
        "access_token": f"exchanged-{audience}-{secrets.token_urlsafe(12)}",
        "issued_token_type": f"{_KIND}:access_token",
        "token_type": "Bearer",
        "expires_in": _EXCHANGED_SECONDS,
    }


def user_of(token: str, kind: str, key: jwk.Key, *, client_id: str, now: float) -> str | None:
    """Who an id_token is about: one signed with *key* for *client_id*, which has not ended."""
    if kind != f"{_KIND}:id_token":
        return None
    try:
        claims = jwt.decode(token, key, algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        return None
    good = claims.get("aud") == client_id and now < claims.get("exp", 0)
    return claims["sub"] if good else None


def id_jag(claims: Mapping[str, Any], key: jwk.Key) -> dict[str, Any]:
    """The answer with an ID-JAG that says *claims*."""
    header = {"alg": "RS256", "kid": key.kid, "typ": "oauth-id-jag+jwt"}
    return {
        "access_token": jws.serialize_compact(header, json.dumps(claims).encode(), key),
        "issued_token_type": ID_JAG,
        "token_type": "N_A",
        "expires_in": claims["exp"] - claims["iat"],
    }


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
