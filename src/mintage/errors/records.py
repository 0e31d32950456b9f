"""Bytes that do not open under this server's keys, or hold no record."""

from mintage.errors.base import MintageError


class SealError(MintageError):
    """A box does not decrypt: another key, another place, or damaged bytes."""


class RecordError(MintageError):
    """These bytes are not a record."""


class NewerRecord(RecordError):
    """A newer Mintage wrote this record."""
