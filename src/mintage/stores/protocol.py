"""What every store promises. `mintage.testing.StoreSuite` holds each of them to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, NewType, Protocol

Cursor = NewType("Cursor", bytes)

EVERYTHING: Final = b""
"""What `Store.changes` yields when it can't tell which keys changed: forget them all."""

HEAD_BYTES: Final = 16

SWEEP_MARGIN: Final = 300
"""Seconds that a sweep leaves an expired record alone: the clocks of two replicas may differ."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record as it stood when it was read. *version* never names two states of one key."""

    record: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Index:
    """How a record is listed. *subject* and *client* are keyed hashes, *summary* is sealed."""

    subject: bytes
    client: bytes
    summary: bytes


UNLISTED: Final = Index(b"", b"", b"")
"""Given to `Store.replace`, it takes the record out of all lists."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record with all that belongs to it, as one store hands it to another."""

    key: bytes
    record: bytes
    expires_at: int
    index: Index | None


@dataclass(frozen=True, slots=True)
class Status:
    """What an engine says of itself. *time* is its clock, None where it has none of its own.

    *warnings*: sentences for the log and for the operator; none of them stops the work.
    *notification_queue_usage*: how full PostgreSQL's queue is, 0 to 1; None elsewhere.
    """

    time: float | None = None
    warnings: tuple[str, ...] = ()
    notification_queue_usage: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in a list, without the record. *head* is its first `HEAD_BYTES` bytes."""

    key: bytes
    summary: bytes
    expires_at: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """*next* is where the following page starts, or None after the last."""

    entries: tuple[Entry, ...]
    next: Cursor | None


class Store(Protocol):
    """Sealed records by key. All times are whole seconds since the epoch.

    A record is gone from the second *expires_at* on, whether or not it was swept yet: it is
    not loaded, not replaced, not listed, and its key is free again.

    Every method raises `StoreUnavailable` while the engine can't be reached or can't
    write, and leaves things as they were. Whatever returned is durable as far as the
    engine's own setting promises; for SQLite that is: on disk.
    """

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        """Write a record under a free *key*; otherwise raise `Exists`.

        Of any number of callers with one *key*, at most one returns.
        """

    async def load(self, key: bytes) -> Versioned | None:
        """The record under *key* as of now, or None."""

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        """Write *record* if *old* is still current; otherwise raise `Stale`.

        Of any number of callers holding the same *old*, at most one returns. Without a
        new *index* the record stays listed as it is; with `UNLISTED` no list has it any more.
        """

    async def delete(self, key: bytes) -> None:
        """Remove what is under *key*; nothing there is fine too."""

    def changes(self) -> AsyncIterator[bytes]:
        """Keys that other processes replaced or deleted, as they do; ends when closed.

        Yields `EVERYTHING` where keys may have been missed.
        """

    async def list(
        self,
        *,
        subject: bytes | None = None,
        client: bytes | None = None,
        after: Cursor | None = None,
        limit: int = 100,
    ) -> Page:
        """Indexed records, a page at a time, in one stable order."""

    async def sweep(self, limit: int = 1000) -> int:
        """Remove at most *limit* records that expired `SWEEP_MARGIN` seconds ago; how many went.

        0 means that nothing is left to remove.
        """

    def rows(self) -> AsyncIterator[Row]:
        """Every record that is live throughout, in no order; one may come twice."""

    async def status(self) -> Status:
        """How the engine is. Raises `StoreUnavailable` where no record can be read."""

    async def close(self) -> None:
        """Finish what was begun, and let go. Calls after this raise `StoreUnavailable`."""
