"""The header of a proof: the public key in it, and the algorithm (RFC 9449 §4.2). Pure.

A stranger chose the key, so its kind and size are limited. Nothing in the header leads to another
key: ``kid``, ``jku`` and certificates are not read.
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from mintage.crypto.base64url import decode_segment
from mintage.errors import InvalidDpopProof, MalformedToken
from mintage.jwt.asymmetric import MIN_RSA_BITS, Jwk, PublicKey, public_key, thumbprint

ALGORITHMS: Final = ("ES256", "EdDSA", "Ed25519", "RS256", "PS256")
TYPE: Final = "dpop+jwt"
_MAX_RSA_BITS: Final = 4096
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_COORDINATE: Final = 32  # bytes
_SIGN: Final = 0x80  # the first bit of a negative integer in DER
_ECDSA: Final = ec.ECDSA(SHA256())
_SHA256: Final = SHA256()
_PKCS1: Final = padding.PKCS1v15()
_PSS: Final = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)

Verify: TypeAlias = Callable[[bytes, bytes], None]
"""(signature, data): raises ``InvalidSignature`` or ``ValueError`` unless it is valid."""


class ProofKey(msgspec.Struct, frozen=True):
    """The key of a proof. *thumbprint*: its name, which tokens are bound to (RFC 7638)."""

    thumbprint: str
    verify: Verify


def read_header(segment: bytes) -> ProofKey:
    """The key in the header *segment* of a proof. Raises `InvalidDpopProof`."""
    try:
        header = json.loads(decode_segment(segment), object_pairs_hook=_once)
    except (MalformedToken, ValueError, RecursionError):
        raise InvalidDpopProof("the DPoP proof must be a JWT in compact form") from None
    if not isinstance(header, dict) or header.get("typ") != TYPE:
        raise InvalidDpopProof(f"the DPoP proof must have the typ {TYPE}")
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if algorithm not in ALGORITHMS:
        raise InvalidDpopProof("sign the DPoP proof with one of: " + " ".join(ALGORITHMS))
    if "crit" in header:
        raise InvalidDpopProof("the DPoP proof must have no crit: no extension is known here")
    if not isinstance(jwk, dict):
        raise InvalidDpopProof("the DPoP proof must have its public key in the header, as jwk")
    if not _PRIVATE.isdisjoint(jwk):
        raise InvalidDpopProof(
            "the DPoP proof shows a private key: make a new pair, and send its public key alone"
        )
    try:
        key = public_key(msgspec.convert({"kid": "", **jwk}, Jwk))
        return ProofKey(thumbprint(key), _verify_with(key, algorithm))
    except (ValueError, MalformedToken, RecursionError, UnsupportedAlgorithm):
        raise InvalidDpopProof(
            "the jwk of the DPoP proof must be a public key for its alg: on P-256, Ed25519, or RSA "
            f"of {MIN_RSA_BITS} to {_MAX_RSA_BITS} bits"
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises ``ValueError`` if a name comes twice: programs read that differently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _verify_with(key: PublicKey, algorithm: str) -> Verify:
    """How *key* verifies signatures. Raises ``ValueError`` if it can't be used with *algorithm*."""
    match key, algorithm:
        case ec.EllipticCurvePublicKey(), "ES256":
            return _es256(key)
        case ed25519.Ed25519PublicKey(), "EdDSA" | "Ed25519":
            return key.verify
        case rsa.RSAPublicKey(), "RS256" | "PS256":
            if not MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
                raise ValueError("the RSA key is too short or too long")
            scheme = _PKCS1 if algorithm == "RS256" else _PSS
            return lambda signature, data: key.verify(signature, data, scheme, _SHA256)
        case _:
            raise ValueError("a key of another algorithm")


def _es256(key: ec.EllipticCurvePublicKey) -> Verify:
    """Both signatures that can be made of one are accepted: clients do not choose the lower s."""
    verify = key.verify

    def verify_es256(signature: bytes, data: bytes) -> None:
        verify(_der(signature), data, _ECDSA)

    return verify_es256


def _der(signature: bytes) -> bytes:
    """(r, s) of a JWS as the sequence of two integers that OpenSSL reads (RFC 3279 §2.2.3).

    It is faster than by way of Python's integers. Raises ``InvalidSignature`` unless it has 64
    bytes, and neither half is 0.
    """
    r, s = signature[:_COORDINATE].lstrip(b"\0"), signature[_COORDINATE:].lstrip(b"\0")
    if len(signature) != 2 * _COORDINATE or not r or not s:
        raise InvalidSignature
    if r[0] & _SIGN:
        r = b"\0" + r
    if s[0] & _SIGN:
        s = b"\0" + s
    return b"0%c\2%c%b\2%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)
