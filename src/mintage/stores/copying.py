"""Copies records from one store to another of any kind, as often as needed.

Servers may use the source meanwhile. A round copies what the target lacks or has differently, and
removes what the source no longer has. A round that finds nothing to do has compared every record. A
mark in the target says that it is being filled. A server that starts on the target removes the
mark, so that no later copy can undo that server's writes.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import msgspec

from mintage.errors import Exists, Stale, StoreUnavailable, StoreUnusable
from mintage.stores.protocol import UNLISTED, Row, Store

T = TypeVar("T")

MARK: Final = hashlib.sha256(b"mintage copy\0").digest()
_FOREVER: Final = 2**40  # seconds
AT_ONCE: Final = 64
_ROUNDS: Final = 5
_ATTEMPTS: Final = 10
_DIGEST_BITS: Final = 512
SOON: Final = 600
"""Seconds from the comparison within which a record may end, and is not compared for that."""


class Round(msgspec.Struct, frozen=True):
    """The result of a round. *records* were compared; *written* and *removed* of them differed."""

    records: int
    written: int
    removed: int

    @property
    def is_quiet(self) -> bool:
        """Whether target and source were equal."""
        return not self.written and not self.removed


class Contents(msgspec.Struct, frozen=True):
    """What a store holds: how many *records*, and a *digest* of all of them in any order."""

    records: int
    digest: str


async def contents(
    store: Store, *, after: int = 0, progress: Callable[[int], None] = lambda _: None
) -> Contents:
    """What *store* holds, less the mark of a copy and records that end at *after* or before.

    Two stores with the same records have the same digest: the sum of the records' SHA-512. Each
    covers key, bytes, end and index. *progress* gets the number of records read.
    """
    records = total = read = 0
    async for row in store.rows():
        read += 1
        if row.key != MARK and row.expires_at > after:
            records += 1
            total += int.from_bytes(hashlib.sha512(_canonical(row)).digest())
        if not read % AT_ONCE:
            progress(read)
    digest = (total % 2**_DIGEST_BITS).to_bytes(_DIGEST_BITS // 8)
    return Contents(records, hashlib.sha256(digest).hexdigest()[:32])


def _canonical(row: Row) -> bytes:
    index = () if row.index is None else (row.index.subject, row.index.client, row.index.summary)
    parts = (row.key, row.record, str(row.expires_at).encode(), *index)
    return b"".join(len(part).to_bytes(8) + part for part in parts)


async def begin(target: Store) -> None:
    """Mark *target* as being filled. Raises `StoreUnusable` if it has records of its own."""
    if await target.load(MARK) is not None:
        return
    async for row in target.rows():
        raise StoreUnusable(
            "the target is in use: it has records and no mark of a copy under way "
            f"(one of them is {row.key.hex()[:16]}); name an empty store"
        )
    await target.insert(MARK, b"copy", None, _FOREVER)


async def end(target: Store) -> None:
    """A server uses *target* now: nothing may be copied into it any more."""
    if await target.load(MARK) is not None:
        await target.delete(MARK)


async def copy(
    source: Store, target: Store, *, progress: Callable[[int], None] = lambda _: None
) -> list[Round]:
    """The rounds that were needed. The last one is quiet, unless servers kept writing.

    It can be interrupted and started again. *progress* is called with the number of records
    compared.
    """
    await begin(target)
    rounds: list[Round] = []
    while len(rounds) < _ROUNDS and not (rounds and rounds[-1].is_quiet):
        rounds.append(await _round(source, target, progress))
    return rounds


async def _round(source: Store, target: Store, progress: Callable[[int], None]) -> Round:
    records = written = removed = 0
    async for rows in _batches(source.rows()):
        written += sum(await asyncio.gather(*(_put(target, row) for row in rows)))
        records += len(rows)
        progress(records)
    async for rows in _batches(target.rows()):
        removed += sum(await asyncio.gather(*(_drop(source, target, row) for row in rows)))
    return Round(records, written, removed)


async def _put(target: Store, row: Row) -> bool:
    """Write *row* to *target*. Returns whether that changed anything."""
    if row.key == MARK:
        return False
    for _ in range(_ATTEMPTS):
        seen = await target.load(row.key)
        if seen is not None and seen.record == row.record:
            return False
        try:
            if seen is None:
                await target.insert(row.key, row.record, row.index, row.expires_at)
            else:
                index = row.index or UNLISTED
                await target.replace(row.key, seen, row.record, row.expires_at, index)
        except (Exists, Stale):
            continue
        return True
    raise StoreUnavailable("another process writes to the target of the copy")


async def _drop(source: Store, target: Store, row: Row) -> bool:
    """Remove *row* from *target* if *source* no longer has it."""
    if row.key == MARK or await source.load(row.key) is not None:
        return False
    await target.delete(row.key)
    return True


async def _batches(rows: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    batch: list[T] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
