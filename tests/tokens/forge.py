"""What the key's owner could sign by hand: any header, any payload, any spelling."""

import base64
import hmac
import json
from typing import Any

from mintage.keys import derive_jwt_key

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
