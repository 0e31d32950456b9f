"""ES256, Ed25519 and RS256, their public keys as JWKs, and reading a JWKS. No I/O.

Everybody can turn an ES256 signature (r, s) into a second valid one, (r, n - s). Mintage makes and
accepts only the one with the lower s, so that here, too, a token has one spelling.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mintage.crypto.base64url import decode_segment, encode_segment
from mintage.errors import BadKeySet, MalformedToken
from mintage.jwt.algorithms import Algorithm, Signer, Verifier

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192  # more would let a key set choose how long a verification takes

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE: Final = 32  # bytes
_ECDSA: Final = ec.ECDSA(SHA256())
_PKCS1: Final = padding.PKCS1v15()
_SHA256: Final = SHA256()


class _Public:
    """A public key. The segment is decoded strictly before the signature is verified."""

    __slots__ = ()

    def is_signature(self, signing_input: bytes, segment: bytes) -> bool:
        try:
            self._verify(decode_segment(segment), signing_input)
        except (InvalidSignature, MalformedToken, ValueError):
            return False
        return True

    def _verify(self, signature: bytes, data: bytes) -> None:
        """Raises ``InvalidSignature`` or ``ValueError`` unless *signature* is valid."""
        raise NotImplementedError


class ES256Public(_Public):
    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    def subject_public_key_info(self) -> bytes:
        """The key in DER (RFC 5480 §2), for programs that read no JWK."""
        return self._key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def _verify(self, signature: bytes, data: bytes) -> None:
        r = int.from_bytes(signature[:_COORDINATE])
        s = int.from_bytes(signature[_COORDINATE:])
        if len(signature) != 2 * _COORDINATE or s > P256_ORDER // 2:
            raise InvalidSignature
        self._key.verify(encode_dss_signature(r, s), data, _ECDSA)


class Ed25519Public(_Public):
    __slots__ = ("_key",)

    def __init__(self, key: ed25519.Ed25519PublicKey) -> None:
        self._key = key

    def _verify(self, signature: bytes, data: bytes) -> None:
        self._key.verify(signature, data)


class RS256Public(_Public):
    __slots__ = ("_key",)

    def __init__(self, key: rsa.RSAPublicKey) -> None:
        self._key = key

    def _verify(self, signature: bytes, data: bytes) -> None:
        self._key.verify(signature, data, _PKCS1, _SHA256)


class ES256(ES256Public):
    __slots__ = ("_private",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(key.public_key())
        self._private = key

    def sign(self, signing_input: bytes) -> bytes:
        r, s = decode_dss_signature(self._private.sign(signing_input, _ECDSA))
        low = min(s, P256_ORDER - s)
        return encode_segment(r.to_bytes(_COORDINATE) + low.to_bytes(_COORDINATE))


class Ed25519(Ed25519Public):
    __slots__ = ("_private",)

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        super().__init__(key.public_key())
        self._private = key

    def sign(self, signing_input: bytes) -> bytes:
        return encode_segment(self._private.sign(signing_input))


class RS256(RS256Public):
    __slots__ = ("_private",)

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        super().__init__(key.public_key())
        self._private = key

    def sign(self, signing_input: bytes) -> bytes:
        return encode_segment(self._private.sign(signing_input, _PKCS1, _SHA256))


def signer(key: PrivateKey) -> Signer:
    match key:
        case ec.EllipticCurvePrivateKey():
            return ES256(key)
        case ed25519.Ed25519PrivateKey():
            return Ed25519(key)
        case rsa.RSAPrivateKey():
            return RS256(key)


def verifier(key: PublicKey) -> Verifier:
    match key:
        case ec.EllipticCurvePublicKey():
            return ES256Public(key)
        case ed25519.Ed25519PublicKey():
            return Ed25519Public(key)
        case rsa.RSAPublicKey():
            return RS256Public(key)


def algorithm_of(key: PublicKey, alg: Algorithm | None = None) -> Algorithm:
    """*alg*, or the usual one for *key*. ``ValueError`` if *key* can't be used with it."""
    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            fitting: tuple[Algorithm, ...] = ("ES256",)
        case ed25519.Ed25519PublicKey():
            fitting = ("EdDSA", "Ed25519")
        case rsa.RSAPublicKey() if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            fitting = ("RS256",)
        case _:
            raise ValueError(
                f"a key is on P-256, Ed25519, or RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
            )
    if alg is not None and alg not in fitting:
        raise ValueError(f"this key signs with {fitting[0]}, not with {alg}")
    return alg or fitting[0]


def load_pem(pem: bytes) -> tuple[PrivateKey | None, PublicKey]:
    """The private key (if it has one) and the public key of an unencrypted *pem*.

    Raises ``ValueError`` if it has no key of the three kinds.
    """
    try:
        if b"PRIVATE KEY" not in pem:
            return None, _fitting_public(load_pem_public_key(pem))
        private = load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the PEM is encrypted, or of a kind that can't be used") from error
    if not isinstance(private, PrivateKey):
        raise ValueError("the PEM holds a key of a kind that can't be used")  # noqa: TRY004
    return private, private.public_key()


def _fitting_public(key: object) -> PublicKey:
    if not isinstance(key, PublicKey):
        raise ValueError("the PEM holds a key of a kind that can't be used")  # noqa: TRY004
    return key


def public_jwk(key: PublicKey) -> dict[str, str]:
    """The members that define the key (RFC 7518 §6, RFC 8037 §2), in RFC 7638's order."""
    match key:
        case ec.EllipticCurvePublicKey():
            point = key.public_numbers()
            x, y = (_text(n.to_bytes(_COORDINATE)) for n in (point.x, point.y))
            return {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        case ed25519.Ed25519PublicKey():
            return {"crv": "Ed25519", "kty": "OKP", "x": _text(key.public_bytes_raw())}
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            e, n = (_text(_shortest(number)) for number in (numbers.e, numbers.n))
            return {"e": e, "kty": "RSA", "n": n}


def thumbprint(key: PublicKey) -> str:
    """The RFC 7638 thumbprint: every program that has the key computes the same name for it."""
    return _text(hashlib.sha256(msgspec.json.encode(public_jwk(key))).digest())


class Jwk(msgspec.Struct, frozen=True):
    """One member of a key set as it came. Members of private and symmetric keys are not read."""

    kty: str
    kid: str
    use: str = "sig"
    alg: str | None = None
    key_ops: list[str] | None = None
    crv: str | None = None
    x: str = ""
    y: str = ""
    n: str = ""
    e: str = ""


class JwkSet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


_decode_set = msgspec.json.Decoder(JwkSet).decode
_decode_jwk = msgspec.json.Decoder(Jwk).decode


def parse_jwks(document: bytes) -> list[tuple[Algorithm, str, Verifier]]:
    """(alg, kid, verifier) of every usable key of a JWK set, in its order (RFC 7517 §5).

    Keys that are unknown, broken or not for signatures are skipped. Raises `BadKeySet`, and nothing
    else, if *document* is no key set, is too long, or has no usable key.
    """
    try:
        members = _decode_set(document).keys
    except (ValueError, RecursionError):
        raise BadKeySet("this is no JWK set") from None
    if len(members) > MAX_KEYS:
        raise BadKeySet(f"the JWK set has more than {MAX_KEYS} keys")
    keys = [key for member in members for key in _usable(member)]
    if not keys:
        raise BadKeySet("the JWK set has no key that can be used")
    return keys


def _usable(member: msgspec.Raw) -> Iterator[tuple[Algorithm, str, Verifier]]:
    try:
        jwk = _decode_jwk(member)
        if jwk.use == "sig" and "verify" in (jwk.key_ops or ["verify"]) and jwk.kid:
            public = public_key(jwk)
            alg: Any = jwk.alg
            yield algorithm_of(public, alg), jwk.kid, verifier(public)
    except (ValueError, MalformedToken, RecursionError, UnsupportedAlgorithm):
        return


def public_key(jwk: Jwk) -> PublicKey:
    """Raises ``ValueError`` or `MalformedToken` if *jwk* is not a valid public key."""
    match jwk.kty, jwk.crv:
        case "EC", "P-256":
            x, y = _coordinate(jwk.x), _coordinate(jwk.y)
            return ec.EllipticCurvePublicNumbers(
                int.from_bytes(x), int.from_bytes(y), ec.SECP256R1()
            ).public_key()
        case "OKP", "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_coordinate(jwk.x))
        case "RSA", None:
            n, e = decode_segment(jwk.n.encode()), decode_segment(jwk.e.encode())
            if len(n) * 8 > MAX_RSA_BITS or len(e) > _MAX_EXPONENT or not n[-1] % 2:
                raise ValueError("the RSA key is too long, or no product of two primes")
            return rsa.RSAPublicNumbers(int.from_bytes(e), int.from_bytes(n)).public_key()
        case _:
            raise ValueError("an unknown kind of key")


_MAX_EXPONENT: Final = 4  # bytes


def _coordinate(text: str) -> bytes:
    raw = decode_segment(text.encode())
    if len(raw) != _COORDINATE:
        raise ValueError("a coordinate is 32 bytes")
    return raw


def _text(raw: bytes) -> str:
    return encode_segment(raw).decode()


def _shortest(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
