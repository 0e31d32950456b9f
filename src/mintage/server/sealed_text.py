"""Values that travel through a browser: packed, encrypted, and written as base64url."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from mintage.crypto.base64url import decode_text, encode_text
from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_any, seal
from mintage.errors import SealError
from mintage.values import RandomBytes

T = TypeVar("T")


def seal_text(
    value: object, *, keys: Sequence[BoxKey], context: bytes, random_bytes: RandomBytes
) -> str:
    """*value*, encrypted with the first of *keys*. It decrypts only in this *context*."""
    box = seal(
        msgspec.msgpack.encode(value),
        key=keys[0],
        context=context,
        nonce=random_bytes(NONCE_BYTES),
    )
    return encode_text(box)


def open_text(
    text: str, decoder: msgspec.msgpack.Decoder[T], *, keys: Sequence[BoxKey], context: bytes
) -> T:
    """What *decoder* reads in a text that `seal_text` made with any of *keys*."""
    try:
        return decoder.decode(open_any(decode_text(text), keys=keys, context=context))
    except ValueError:
        raise SealError("it is no sealed text, or of another version") from None
