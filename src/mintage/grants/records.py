"""Converts a grant to the bytes in a store and back: a plain head, then encrypted msgpack.

======  =================================================================
bytes   what
======  =================================================================
1       the version of the format
4       the id of the secret that the box is encrypted under
4       the id of the secret that the grant's newest tokens are signed
        with; zeros once the grant has ended
1 + 12n in version 3 alone: how many numbers the grant has in the status
        list, and these (see ``status``)
rest    the box
======  =================================================================

The record of a grant that was ended without its own secret is such a head, ids and zeros, in front
of the whole record that it had until then.

The head is plain, so that Mintage can count the grants that need an old secret without their own
secrets, and so that an older Mintage can tell a newer record from a damaged one. The numbers in the
status list are plain so that a grant which ends unread ends for verifiers elsewhere too. They are
no secret. The encryption authenticates the head, so nobody can change it.
"""

from functools import lru_cache
from typing import Final, Self

import msgspec

from mintage.crypto.sealing import BoxKey, open_box, seal
from mintage.errors import NewerRecord, RecordError
from mintage.grants.states import Active, Grant
from mintage.grants.status import Slot, pack, packed_size, unpack

VERSION: Final = 2
WITH_SLOTS: Final = 3
ID_BYTES: Final = 4
NO_TOKENS: Final = bytes(ID_BYTES)
_IDS_END: Final = 1 + 2 * ID_BYTES
_WITH_IDS: Final = (bytes([VERSION]), bytes([WITH_SLOTS]))
_UNNAMED: Final = 1  # a record of the first format: its head is the version alone

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Grant] = msgspec.msgpack.Decoder(Grant)


class Head(msgspec.Struct, frozen=True):
    """What a record says about itself. Ids are empty if its format is too old to have them."""

    raw: bytes
    sealed_under: bytes
    signed_with: bytes

    @classmethod
    def of(cls, record: bytes) -> "Head":
        """The head of a record, or of its first bytes. Raises `NewerRecord`, `RecordError`."""
        if not record:
            raise RecordError("the record is empty")
        version = record[0]
        if version == VERSION:
            return _without_slots(record[:_IDS_END])
        if version > WITH_SLOTS:
            raise NewerRecord(f"record version {version}; this Mintage reads up to {WITH_SLOTS}")
        if version == _UNNAMED:
            return cls(record[:1], b"", b"")
        ids = _ids(record[:_IDS_END])
        slots = packed_size(record[_IDS_END] if record[_IDS_END:] else 0)
        return cls(record[: _IDS_END + slots], *ids)

    @classmethod
    def make(cls, sealed_under: bytes, signed_with: bytes, slots: tuple[Slot, ...] = ()) -> Self:
        version = WITH_SLOTS if slots else VERSION
        raw = bytes([version]) + sealed_under + signed_with + (pack(slots) if slots else b"")
        return cls(raw, sealed_under, signed_with)

    @classmethod
    def of_grant(cls, grant: Grant, sealed_under: bytes, signed_with: bytes) -> "Head":
        """The head for *grant*."""
        if isinstance(grant, Active) and grant.slots:
            return cls.make(sealed_under, signed_with, grant.slots)
        return _naming(sealed_under, signed_with)


# Heads without numbers: few differ, because they name secrets alone.


@lru_cache(maxsize=64)
def _without_slots(raw: bytes) -> Head:
    return Head(raw, *_ids(raw))


@lru_cache(maxsize=64)
def _naming(sealed_under: bytes, signed_with: bytes) -> Head:
    return Head.make(sealed_under, signed_with)


def _ids(raw: bytes) -> tuple[bytes, bytes]:
    """The ids in the first bytes of a record. Raises `RecordError`."""
    if raw[:1] not in _WITH_IDS or len(raw) < _IDS_END:
        raise RecordError(f"no such record version: {raw[0]}")
    return raw[1 : 1 + ID_BYTES], raw[1 + ID_BYTES :]


def slots_of(record: bytes) -> tuple[Slot, ...]:
    """The numbers that the live grant in *record* has in the status list. Raises `RecordError`."""
    head = Head.of(record)
    if record[0] != WITH_SLOTS or head.signed_with == NO_TOKENS:
        return ()
    try:
        return unpack(head.raw[_IDS_END:])
    except ValueError as error:
        raise RecordError(str(error)) from None


def is_live(record: bytes) -> bool:
    """Whether a list shows a record with these first bytes as a grant.

    One that has ended is none, and neither is a remembered consent. One that can't be read may be.
    """
    try:
        return Head.of(record).signed_with != NO_TOKENS
    except RecordError:
        return True


def set_aside(record: bytes) -> bytes:
    """The record for a grant that ends while nobody can decrypt *record*, which is inside.

    A request with the grant's secret can still read the upstream tokens, and have them revoked.
    The record of a grant that has ended is returned as it is. Raises `RecordError` for one that is
    damaged, or of a format that does not say which secret it is under.
    """
    head = Head.of(record)
    if head.signed_with == NO_TOKENS:
        return record
    if not head.sealed_under:
        raise RecordError("a record of the first format is not set aside")
    return Head.make(head.sealed_under, NO_TOKENS).raw + record


SETTLED: Final = bytes([VERSION]) + bytes(2 * ID_BYTES)
"""The record of a grant that ended, and whose upstream tokens were reported. It holds nothing."""


def inside(record: bytes) -> bytes | None:
    """What `set_aside` put into *record*; None if it did not make it. Raises `RecordError`."""
    if Head.of(record).signed_with != NO_TOKENS:
        return None
    inner = record[len(SETTLED) :]
    # An encrypted box would have to begin with these five bytes by chance.
    begins = inner[:1] in _WITH_IDS and inner[1 : 1 + ID_BYTES] == record[1 : 1 + ID_BYTES]
    return inner if begins else None


def encode(grant: Grant, *, head: Head, key: BoxKey, store_key: bytes, nonce: bytes) -> bytes:
    """The record of *grant*. It can be read only under *store_key*.

    Raises ``ValueError`` for a copy from memory, which is without its refresh token (`in_memory`).
    """
    if isinstance(grant, Active) and grant.upstream and grant.upstream.refresh_token_is_stored:
        raise ValueError("this grant is from memory: its refresh token would be lost")
    context = head.raw + store_key
    return head.raw + seal(_encoder.encode(grant), key=key, context=context, nonce=nonce)


def decode(record: bytes, *, key: BoxKey, store_key: bytes, known: Head | None = None) -> Grant:
    """The grant of a record. *known*: its head, if that was read already.

    Raises `SealError` if it does not decrypt, and `NewerRecord` or `RecordError` if it decrypts
    but can't be read.
    """
    head = (known or Head.of(record)).raw
    plaintext = open_box(record[len(head) :], key=key, context=head + store_key)
    try:
        return _decoder.decode(plaintext)
    except msgspec.DecodeError as error:
        raise RecordError("the record opens but is no grant") from error
