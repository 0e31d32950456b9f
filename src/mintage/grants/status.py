"""The numbers under which a grant's access tokens are in the status list. Pure.

A token names its number as ``status.status_list.idx``. A number belongs to one grant until the last
token that names it has expired, and is then free for another grant. So a grant takes another number
once in a while, and has a few at the same time.
"""

import struct
from typing import Final

import msgspec

KEPT_LONGER: Final = 300
"""Seconds after `Slot.until` for which its bit stays in the list: the leeway of a verifier."""

MOST_SLOTS: Final = 255
_PACKED: Final = struct.Struct(">IQ")


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """A number in the status list.

    *until*: the latest ``exp`` of a token that names it, in seconds since the epoch.
    """

    idx: int
    until: int


def slot_for(slots: tuple[Slot, ...], exp: int) -> Slot | None:
    """The one of *slots* that a token which ends at *exp* names; None if it has to be a new one."""
    return slots[-1] if slots and slots[-1].until >= exp else None


def with_slot(slots: tuple[Slot, ...], new: Slot, *, exp: int, now: int) -> tuple[Slot, ...]:
    """*slots* for a grant that gets a token until *exp*: *new* is the last one if none would do.

    Slots that no live token names are left out. Raises ``ValueError`` if *new* would not do either.
    """
    kept = tuple(one for one in slots if one.until + KEPT_LONGER >= now)
    if slot_for(kept, exp) is not None:
        return kept
    if new.until < exp:
        raise ValueError("the number is free for another grant before the token has ended")
    return (*kept[1 - MOST_SLOTS :], new)


def pack(slots: tuple[Slot, ...]) -> bytes:
    """*slots* for the head of a record: their count, and 12 bytes for each."""
    return bytes([len(slots)]) + b"".join(_PACKED.pack(one.idx, one.until) for one in slots)


def packed_size(count: int) -> int:
    return 1 + count * _PACKED.size


def unpack(packed: bytes) -> tuple[Slot, ...]:
    """What `pack` packed. Raises ``ValueError`` for anything else."""
    if not packed or len(packed) != packed_size(packed[0]):
        raise ValueError("these are no numbers of a status list")
    return tuple(Slot(*numbers) for numbers in _PACKED.iter_unpack(packed[1:]))
