"""Encryption with AES-256-GCM ("sealing"). Everything that it depends on is an argument.

A box decrypts only with the key and the *context* that it was encrypted with. The context is its
place (its store key, its cookie's name), so a box that was moved elsewhere does not decrypt.
"""

import hmac
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mintage.errors import SealError

BoxKey = NewType("BoxKey", bytes)  # 32 bytes

NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


@lru_cache(maxsize=32)
def record_key(seal_key: bytes, secret: bytes) -> BoxKey:
    """The key of one grant's record, from the server's seal key and the grant's own secret.

    Neither decrypts the record without the other. It is HKDF (RFC 5869) with the secret as salt,
    whose expansion is one block here. The last ones are remembered, because who decrypts a record
    mostly encrypts the next one at once.
    """
    extracted = hmac.digest(secret, seal_key, "sha256")
    return BoxKey(hmac.digest(extracted, b"mintage record\x01", "sha256"))


@lru_cache(maxsize=32)
def _cipher(key: BoxKey) -> AESGCM:
    """To make one costs as much as a box does, and a record is opened and sealed by the same."""
    return AESGCM(key)


def seal(plaintext: bytes, *, key: BoxKey, context: bytes, nonce: bytes) -> bytes:
    """A box that decrypts only with the same *key* and *context*.

    *nonce* is 12 random bytes. A record key encrypts a few thousand boxes at most, far from the
    2^32 at which random nonces would need care (NIST SP 800-38D §8.3).
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce is 12 bytes")
    return nonce + _cipher(key).encrypt(nonce, plaintext, context)


def open_any(box: bytes, *, keys: Iterable[BoxKey], context: bytes) -> bytes:
    """The plaintext of a box that was encrypted with one of *keys*. Raises `SealError`."""
    for key in keys:
        try:
            return open_box(box, key=key, context=context)
        except SealError:
            continue
    raise SealError("the box does not open")


def open_box(box: bytes, *, key: BoxKey, context: bytes) -> bytes:
    """The plaintext. Raises `SealError` if the key, the context or a single bit differs."""
    if len(box) < NONCE_BYTES + _TAG_BYTES:
        raise SealError("the box is too short")
    try:
        return _cipher(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], context)
    except InvalidTag:
        raise SealError("the box does not open") from None
