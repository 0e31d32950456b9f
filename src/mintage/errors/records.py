"""Bytes that do not decrypt with this server's keys, or are not a record."""

from mintage.errors.base import MintageError


class SealError(MintageError):
    """A box does not decrypt: another key, another place, or damaged bytes."""


class RecordError(MintageError):
    """These bytes are not a record."""


class NewerRecord(RecordError):
    """A newer Mintage wrote this record."""
