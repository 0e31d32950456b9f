"""What every store promises. `mintage.testing.store_suite` tests each store for it."""

from collections.abc import AsyncIterator
from typing import Final, NewType, Protocol

import msgspec

Cursor = NewType("Cursor", bytes)
"""Where a page of a list starts. Only the store that made it can read it."""

EVERYTHING: Final = b""
"""What `Store.changes` yields when any key may have changed: drop everything that you cached."""

HEAD_BYTES: Final = 16
"""How many bytes of a record a list returns."""

SWEEP_MARGIN: Final = 300
"""Seconds for which a sweep keeps an expired record: the clocks of two replicas may differ."""


class Versioned(msgspec.Struct, frozen=True, gc=False):
    """A record as a store read it.

    Args:
        record: Its bytes.
        version: A number that never names two states of one key.
    """

    record: bytes
    version: int


class Index(msgspec.Struct, frozen=True, gc=False):
    """How a record is listed.

    Args:
        subject: A keyed hash of the user.
        client: A keyed hash of the client.
        summary: What a list shows, encrypted.
    """

    subject: bytes
    client: bytes
    summary: bytes


UNLISTED: Final = Index(b"", b"", b"")
"""Pass this to `Store.replace` to take the record out of all lists."""


class Row(msgspec.Struct, frozen=True):
    """A record with all that belongs to it, as one store copies it to another.

    Args:
        key: Its key.
        record: Its bytes.
        expires_at: When it ends, in seconds since the epoch.
        index: How it is listed, or None.
    """

    key: bytes
    record: bytes
    expires_at: int
    index: Index | None


class Status(msgspec.Struct, frozen=True):
    """What a storage engine says about itself.

    Args:
        time: Its clock, in seconds since the epoch. None if it has no clock of its own.
        warnings: Sentences for the log and the operator. None of them stops the work.
        notification_queue_usage: How full PostgreSQL's notification queue is, 0 to 1. None
            elsewhere.
    """

    time: float | None = None
    warnings: tuple[str, ...] = ()
    notification_queue_usage: float | None = None


class Entry(msgspec.Struct, frozen=True):
    """A record in a list, without its bytes.

    Args:
        key: Its key.
        summary: The summary of its `Index`.
        expires_at: When it ends, in seconds since the epoch.
        head: Its first `HEAD_BYTES` bytes.
    """

    key: bytes
    summary: bytes
    expires_at: int
    head: bytes


class Page(msgspec.Struct, frozen=True):
    """A page of a list.

    Args:
        entries: The records.
        next: Where the following page starts. None after the last.
    """

    entries: tuple[Entry, ...]
    next: Cursor | None


class Store(Protocol):
    """Encrypted records by key. All times are whole seconds since the epoch.

    A record is gone from the second *expires_at* on, whether it was swept or not: it is
    not loaded, not replaced, not listed, and its key is free again.

    Every method raises `StoreUnavailable` while the engine can't be reached or can't write.
    A write may have happened even so: an engine can fail after it wrote and before it
    answered. After a method returns, its write is as durable as the engine's own settings
    make it; for SQLite that is: on disk.
    """

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        """Write a record under a key that is free.

        Of any number of callers with one *key*, at most one returns.

        Args:
            key: Its key.
            record: Its bytes.
            index: How it is listed. None: it is in no list.
            expires_at: When it ends, in seconds since the epoch.

        Raises:
            Exists: The key is taken.
            StoreUnavailable: An outage. The record may have been written even so.
        """

    async def load(self, key: bytes) -> Versioned | None:
        """Read a record.

        Args:
            key: Its key.

        Returns:
            The record as it is now, or None if there is none.

        Raises:
            StoreUnavailable: An outage.
        """

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        """Write a record if nobody has written it since it was read.

        Of any number of callers with the same *old*, at most one returns.

        Args:
            key: Its key.
            old: What `load` returned.
            record: Its new bytes.
            expires_at: When it ends, in seconds since the epoch.
            index: How it is listed from now on. None: as before. `UNLISTED`: in no list.

        Raises:
            Stale: *old* is not current. Load the record and decide again.
            StoreUnavailable: An outage. The record may have been written even so.
        """

    async def delete(self, key: bytes) -> None:
        """Remove a record. It is no error if there is none.

        Args:
            key: Its key.

        Raises:
            StoreUnavailable: An outage.
        """

    def changes(self) -> AsyncIterator[bytes]:
        """The keys that other processes replace or delete, as they do it.

        Returns:
            An iterator that ends when the store is closed. It yields `EVERYTHING` if keys may
            have been missed.

        Raises:
            StoreUnavailable: An outage.
        """

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        """Indexed records, a page at a time, in one stable order.

        Args:
            subject: Only records with this keyed hash of the user.
            client: Only records with this keyed hash of the client.
            after: The ``next`` of the page before. None: from the start.
            limit: How many records a page has at most.

        Returns:
            The page.

        Raises:
            StoreUnavailable: An outage.
        """

    async def sweep(self, limit: int = 1000) -> int:
        """Remove records that expired at least `SWEEP_MARGIN` seconds ago.

        Args:
            limit: How many to remove at most.

        Returns:
            How many were removed. 0 means that nothing is left to remove.

        Raises:
            StoreUnavailable: An outage.
        """

    def rows(self) -> AsyncIterator[Row]:
        """Every record that is live from the start of the iteration to its end.

        Returns:
            An iterator in no order. A record may come twice.

        Raises:
            StoreUnavailable: An outage.
        """

    async def status(self) -> Status:
        """Ask the engine how it is.

        Returns:
            What it says about itself.

        Raises:
            StoreUnavailable: No record can be read.
        """

    async def close(self) -> None:
        """Finish what was begun, and close the connections.

        Calls after this raise `StoreUnavailable`.
        """
