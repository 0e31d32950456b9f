"""What the key's owner could sign by hand: any header, any payload, any spelling."""

import base64
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mintage.crypto.derivation import derive_jwt_key
from mintage.jwt.keyring import TokenKey

ISSUER = "https://auth.example.com"
AUDIENCE = "https://auth.example.com/mcp"
KEY = derive_jwt_key(high_entropy_material="test-secret", salt="test-salt")
NOW = 1_800_000_000

HEADER = {"typ": "JWT", "alg": "HS256"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "client_id": "ide",
    "scope": "read write",
    "exp": NOW + 60,
    "iat": NOW,
    "jti": "q7Zk1v0Xc3Nf8RtYp2LmAw",
}


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def signed(signing_input: str, key: bytes = KEY, digest: str = "sha256") -> str:
    mac = hmac.digest(key, signing_input.encode("utf-8", "surrogatepass"), digest)
    return f"{signing_input}.{segment(mac)}"


def token_of(payload: bytes, header: object = HEADER, key: bytes = KEY) -> str:
    return signed(f"{segment(compact(header))}.{segment(payload)}", key)


def token_with(*, header: object = HEADER, key: Any = KEY, **changes: Any) -> str:
    """A well-signed token with *changes* to its claims; None leaves a claim out."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return token_of(compact(claims), header, key)


def payload_of(token: str) -> bytes:
    text = token.split(".")[1]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> bytes:
    """*key* as it stands in a file, private or public."""
    if hasattr(key, "private_bytes"):
        return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


KEYS = {
    "HS256": TokenKey.hs256(KEY),
    "ES256": TokenKey.from_pem(pem(P256)),
    "EdDSA": TokenKey.from_pem(pem(ED25519)),
    "Ed25519": TokenKey.from_pem(pem(ED25519), alg="Ed25519"),
    "RS256": TokenKey.from_pem(pem(RSA)),
}
ASYMMETRIC = {name: key for name, key in KEYS.items() if name != "HS256"}
