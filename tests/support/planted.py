"""Secrets that a test knows, and whether a text has one of them in any spelling."""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from mintage.crypto.base64url import decode_text

_SHORTEST = 8  # characters: shorter ones are in every text by chance


def spellings(secret: str) -> Iterator[str]:
    """*secret* as it is, and as programs write it: escaped, percent-encoded, hex, base64."""
    raw = secret.encode()
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield "".join(f"%{byte:02X}" for byte in raw)
    yield from _as_bytes(raw)
    try:
        yield from _as_bytes(decode_text(secret))
    except (ValueError, binascii.Error):
        return


def _as_bytes(raw: bytes) -> Iterator[str]:
    """*raw* as hex, and as base64 wherever it begins in what was encoded."""
    yield raw.hex()
    yield raw.hex().upper()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        # The first and last characters depend on the bytes beside it.
        inner = encoded[(before * 8 + 5) // 6 : len(encoded) - 4]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def secrets_of_token(token: str) -> Iterator[str]:
    """What of a JWT is secret: its signature, its ``jti``, and the grant's secret in that."""
    header, payload, signature = token.split(".")
    jti = json.loads(decode_text(payload))["jti"]
    yield token
    yield payload
    yield signature
    yield jti
    yield base64.urlsafe_b64encode(decode_text(jti)[:16]).decode().rstrip("=")
    del header


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """The first characters of each of *secrets* that is in *text*, in some spelling."""
    return sorted(
        {
            secret[:6]
            for secret in secrets
            if len(secret) >= _SHORTEST
            and any(one in text for one in spellings(secret) if len(one) >= _SHORTEST)
        }
    )
