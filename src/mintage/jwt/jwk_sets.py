"""Reads other people's JWK sets (RFC 7517) with joserfc. No I/O.

It accepts signature keys of any common algorithm. `mintage.jwt.asymmetric` reads the keys of
Mintage's own tokens, where a token must have only one spelling.

joserfc is imported late, where the first keys or tokens of others are read: together with the
X.509 of cryptography, which it imports, it is a sixth of the work of a server's start.
"""

from typing import TYPE_CHECKING, Any, Final

from joserfc.errors import JoseError

from mintage.crypto.base64url import decode_lenient
from mintage.errors import BadKeySet

if TYPE_CHECKING:
    from joserfc import jwk

MAX_KEYS: Final = 64
_MIN_MODULUS: Final = 340  # characters of base64url: 2040 bits and more
_MAX_MODULUS: Final = 1366  # 8192 bits: limits the time for one key
_MIN_EXPONENT: Final = 3
_MAX_EXPONENT: Final = 2**32  # larger ones only make verification slow


def read_key_set(body: object) -> "jwk.KeySet":
    """The signing keys of a JWK set, without those that can't be read or trusted (§5).

    Raises `BadKeySet` if none is left.
    """
    from joserfc import jwk  # late: see above

    members = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(members, list):
        raise BadKeySet("a JWKS without keys")
    keys = [key for member in members[:MAX_KEYS] if (key := _key(member)) is not None]
    if not keys:
        raise BadKeySet("a JWKS without a usable key")
    return jwk.KeySet(keys)


def _key(member: Any) -> "jwk.Key | None":
    from joserfc import jwk  # late: see above

    if not isinstance(member, dict) or member.get("kty") == "oct":
        return None
    if member.get("use", "sig") != "sig" or _is_odd_rsa(member):
        return None
    try:
        return jwk.import_key(member)
    except (JoseError, ValueError, TypeError, KeyError):
        return None  # an unknown key type is not checked


def _is_odd_rsa(member: dict[str, Any]) -> bool:
    """Whether it is an RSA key under 2048 bits (RFC 7518 §3.3), or one that is unusually slow."""
    if member.get("kty") != "RSA":
        return False
    length = len(str(member.get("n", "")))
    return not _MIN_MODULUS <= length <= _MAX_MODULUS or _is_odd_exponent(member.get("e"))


def _is_odd_exponent(text: object) -> bool:
    if not isinstance(text, str) or len(text) > 16:  # noqa: PLR2004
        return True
    try:
        exponent = int.from_bytes(decode_lenient(text))
    except ValueError:
        return True
    return not _MIN_EXPONENT <= exponent <= _MAX_EXPONENT
