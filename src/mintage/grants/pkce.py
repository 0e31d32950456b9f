"""Proof Key for Code Exchange (RFC 7636)."""

import hashlib

from mintage.crypto.base64url import encode_text


def s256(code_verifier: str) -> str:
    """The S256 code challenge of *code_verifier* (RFC 7636 §4.2)."""
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return encode_text(digest)
