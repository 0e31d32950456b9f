"""Proof Key for Code Exchange (RFC 7636)."""

import base64
import hashlib


def s256(code_verifier: str) -> str:
    """The S256 code challenge of *code_verifier* (RFC 7636 §4.2)."""
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
