"""The public keys of a client. A stranger wrote them, so number and cost are limited. Pure.

Every registered client decides which keys the server computes with. The time to verify RSA grows
with the modulus and the length of the exponent, and many keys under one ``kid`` multiply it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from mintage.errors import BadKeySet
from mintage.jwt.jwk_sets import read_key_set

if TYPE_CHECKING:
    from joserfc import jwk

MAX_KEYS: Final = 8
MAX_TRIED: Final = 4  # of one set, for one assertion
_MAX_RSA_BITS: Final = 4096
_KINDS: Final[Mapping[str, tuple[str, str | None]]] = {
    "ES256": ("EC", "P-256"),
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}  # the algorithms that a client may sign with, and their keys (RFC 7518 §3.1, RFC 8037 §3.1)
ALGORITHMS: Final = tuple(_KINDS)


def read_client_keys(body: object) -> "jwk.KeySet":
    """The keys of a client's JWK set that it can sign an assertion with.

    Raises `BadKeySet` where there is none, and where there are more than `MAX_KEYS`.
    """
    from joserfc import jwk  # late: see `mintage.jwt.jwk_sets`

    members = body.get("keys") if isinstance(body, dict) else None
    if isinstance(members, list) and len(members) > MAX_KEYS:
        raise BadKeySet(f"a client's JWKS has at most {MAX_KEYS} keys")
    keys = [key for key in read_key_set(body).keys if _is_usable(key)]
    if not keys:
        raise BadKeySet("a JWKS without a usable key")
    return jwk.KeySet(keys)


def parse_client_keys(document: bytes) -> "jwk.KeySet":
    """The same for the bytes of a JSON document. Raises `BadKeySet`."""
    try:
        return read_client_keys(msgspec.json.decode(document))
    except (msgspec.DecodeError, RecursionError):
        raise BadKeySet("a JWKS that is not JSON") from None


def candidates(keys: Sequence["jwk.Key"], algorithm: str, kid: str | None) -> Sequence["jwk.Key"]:
    """Those of *keys* that may have made a signature with these header values; few at most."""
    fitting = [
        key
        for key in keys
        if _kind(key) == _KINDS.get(algorithm) and (kid is None or key.kid == kid)
    ]
    return fitting[:MAX_TRIED]


def _is_usable(key: "jwk.Key") -> bool:
    from joserfc import jwk  # late: see `mintage.jwt.jwk_sets`

    if _kind(key) not in _KINDS.values():
        return False
    return not isinstance(key, jwk.RSAKey) or key.raw_value.key_size <= _MAX_RSA_BITS


def _kind(key: "jwk.Key") -> tuple[str, str | None]:
    """The type of *key* and its curve, as `_KINDS` has them."""
    from joserfc import jwk  # late: see `mintage.jwt.jwk_sets`

    curve = key.curve_name if isinstance(key, jwk.ECKey | jwk.OKPKey) else None
    return key.key_type, curve
