"""Signing and verifying, and HMAC, which every issuer has. No clock, no randomness, no I/O.

An algorithm object is one key under one algorithm (RFC 8725 §3.1). Nothing in a token can make it
do anything else. Signatures go in and out as canonical base64url segments, as in a token, so two
spellings of one signature are not equal. ``asymmetric`` has the other algorithms.
"""

import hashlib
import hmac
from typing import Final, Literal, Protocol

from mintage.crypto.base64url import encode_segment

Algorithm = Literal["HS256", "ES256", "EdDSA", "Ed25519", "RS256"]

_BLOCK: Final = 64  # bytes that SHA-256 takes at once


class Verifier(Protocol):
    def is_signature(self, signing_input: bytes, segment: bytes) -> bool:
        """Whether *segment* is the canonical spelling of a valid signature. Never raises."""


class Signer(Verifier, Protocol):
    def sign(self, signing_input: bytes) -> bytes:
        """The signature, as an encoded segment."""


class HS256:
    """HMAC with SHA-256 (RFC 7518 §3.2), both keyed hash states computed once (RFC 2104 §4)."""

    __slots__ = ("inner", "outer")

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
        self.inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self.outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, signing_input: bytes) -> bytes:
        inner = self.inner.copy()
        inner.update(signing_input)
        outer = self.outer.copy()
        outer.update(inner.digest())
        return encode_segment(outer.digest())

    def is_signature(self, signing_input: bytes, segment: bytes) -> bool:
        return hmac.compare_digest(self.sign(signing_input), segment)


class AnyOf:
    """Several keys for one header: FastMCP's headers name no key, so each key is tried."""

    __slots__ = ("_verifiers",)

    def __init__(self, verifiers: tuple[Verifier, ...]) -> None:
        self._verifiers = verifiers

    def is_signature(self, signing_input: bytes, segment: bytes) -> bool:
        return any(key.is_signature(signing_input, segment) for key in self._verifiers)
