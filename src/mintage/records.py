"""Grant ↔ the bytes that a store keeps: one version byte, then a sealed msgpack value.

The version stands outside the box so that an older Mintage can tell a newer record from a
damaged one, and it is bound into the seal so that nobody can change it.
"""

from typing import Final

import msgspec

from mintage.errors import NewerRecord, RecordError
from mintage.grant import Grant
from mintage.sealing import BoxKey, open_box, seal

VERSION: Final = 1

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Grant] = msgspec.msgpack.Decoder(Grant)


def encode(grant: Grant, *, key: BoxKey, store_key: bytes, nonce: bytes) -> bytes:
    """The record of *grant*, to be kept under *store_key* and nowhere else."""
    context = bytes([VERSION]) + store_key
    return bytes([VERSION]) + seal(_encoder.encode(grant), key=key, context=context, nonce=nonce)


def decode(record: bytes, *, key: BoxKey, store_key: bytes) -> Grant:
    """The grant of a record.

    Raises `SealError` where it does not open, `NewerRecord` and `RecordError` where it
    opens but can't be read.
    """
    if not record:
        raise RecordError("the record is empty")
    version = record[0]
    if version > VERSION:
        raise NewerRecord(f"record version {version}; this Mintage reads up to {VERSION}")
    if version != VERSION:
        raise RecordError(f"no such record version: {version}")
    plaintext = open_box(record[1:], key=key, context=bytes([version]) + store_key)
    try:
        return _decoder.decode(plaintext)
    except msgspec.DecodeError as error:
        raise RecordError("the record opens but is no grant") from error
