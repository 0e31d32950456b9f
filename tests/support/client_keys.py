"""A client's keys and what it signs with them."""

import warnings
from functools import cache
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import SecurityWarning

from mintage.clients.assertions import TYPE
from mintage.clients.keys import ALGORITHMS

ISSUER = "https://auth.example.com"
NOW = 1_800_000_000


def key(algorithm: str = "ES256", kid: str | None = None) -> jwk.Key:
    """The same key for the same arguments."""
    return _key(algorithm, kid)


@cache
def _key(algorithm: str, kid: str | None) -> jwk.Key:
    parameters: jwk.KeyParameters = {} if kid is None else {"kid": kid}
    match algorithm:
        case "ES256":
            return jwk.ECKey.generate_key("P-256", parameters)
        case "EdDSA" | "Ed25519":
            return jwk.OKPKey.generate_key("Ed25519", parameters)
        case _:
            return jwk.RSAKey.generate_key(2048, parameters)


def jwks(*keys: jwk.Key) -> Any:
    return {"keys": [one.as_dict(private=False) for one in keys]}


def sign(
    claims: dict[str, Any],
    by: jwk.Key | None = None,
    *,
    algorithm: str = "ES256",
    header: dict[str, Any] | None = None,
) -> str:
    """*claims* as a JWT, None for those that are left out."""
    sent = {name: value for name, value in claims.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(
            {"alg": algorithm} | (header or {}),
            sent,
            by or key(algorithm),
            algorithms=[*ALGORITHMS, "HS256", "ES384", "RS384"],
        )


def claims_of(client_id: str, *, now: float = NOW, issuer: str = ISSUER, **other: Any) -> Any:
    return {
        "iss": client_id, "sub": client_id, "aud": issuer, "jti": "j-1",
        "exp": int(now) + 60, "iat": int(now),
    } | other  # fmt: skip


def form_of(assertion: str) -> dict[str, str]:
    return {"client_assertion_type": TYPE, "client_assertion": assertion}
