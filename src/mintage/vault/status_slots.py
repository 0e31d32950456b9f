"""The status list in the store: which number belongs to which grant, and which grants have ended.

The numbers are in blocks of 1024. A process claims a block at random, with an insert that only one
process can make, and gives its numbers away in random order. So processes need no counter between
them, and a number tells neither when its grant was made nor how many grants there are. The claim
ends after the last token that names a number of the block: then the block is free again.

The record of a claim has a bit for each number. A grant that ends sets the bits of its numbers
*before* its own record is written. If the process dies in between, its tokens are refused by
verifiers elsewhere and accepted here; never the other way round. No bit is ever cleared.

Blocks with ended grants are in one list of the store. The list is read when somebody asks for the
status list, at most once a second. Nothing of this is done, read or written without the setting.
"""

import asyncio
import hashlib
import logging
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from mintage.errors import Exists, Stale, StoreUnavailable
from mintage.grants.records import SETTLED
from mintage.grants.status import KEPT_LONGER, Slot
from mintage.stores.protocol import Cursor, Index, Store, Versioned
from mintage.values import Clock, RandomBytes

log = logging.getLogger("mintage.vault")

BLOCK: Final = 1024
LOOK_SECONDS: Final = 1.0
"""Seconds between two looks at the store: how late a process notices what another one ended."""

OUTAGE_SECONDS: Final = 30
"""Seconds for which the last known list is served while the store can't be read."""

_BYTES: Final = BLOCK // 8
_NUMBER: Final = 4  # bytes of a block's number in its summary
_FREE_AFTER: Final = 600  # seconds after the last token of a block; more than `KEPT_LONGER`
_SLACK: Final = 60  # seconds that a request may take from its number to its token
_WINDOW: Final = 3600  # seconds at least for which a claimed block is used
_PICKS: Final = 64
_ATTEMPTS: Final = 100  # each lost race is another's progress; this many are a fault
_LISTED: Final = hashlib.sha256(b"mintage status list\0").digest()
_UNMARKED: Final = SETTLED + bytes(_BYTES)  # such a head: no list shows it as a grant


class Ended(msgspec.Struct, frozen=True):
    """The ended numbers, as they were in the store at *as_of* (seconds since the epoch).

    *bits*: a bit for each number, the lowest one of a byte first. It is the same object as long as
    nothing has changed.
    """

    as_of: int
    bits: bytes


class StatusSlots:
    """*size*: how many numbers there are, a multiple of `BLOCK`. *access*: a token's lifetime.

    *clock*: the time of day of all servers on the store. *steady*: a clock that cannot be set.
    """

    def __init__(
        self,
        store: Store,
        *,
        size: int,
        access: int,
        clock: Clock,
        steady: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        if size % BLOCK or size < BLOCK:
            raise ValueError(f"the size of the status list is a multiple of {BLOCK}")
        self._store = store
        self._size = size
        self._access = access
        self._clock = clock
        self._steady = steady
        self._random_bytes = random_bytes
        self._free: list[int] = []
        self._until = 0
        self._claiming = asyncio.Lock()
        self._marks: dict[int, set[int]] = defaultdict(set)
        self._marking: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._blocks: dict[int, bytes] = {}
        self._ended: Ended | None = None

    async def take(self) -> Slot:
        """A number for a grant that is about to get a token. Raises `StoreUnavailable`."""
        async with self._claiming:
            if not self._free or self._until < self._now() + self._access + _SLACK:
                await self._claim()
            return Slot(self._free.pop(), self._until)

    def give_back(self, slot: Slot) -> None:
        """*slot* was taken, and no record has it."""
        if slot.until == self._until:
            self._free.append(slot.idx)

    async def end(self, slots: Iterable[Slot]) -> None:
        """Set the bits of *slots*. They are in the store when it returns. `StoreUnavailable`."""
        by_block: dict[int, int] = {}
        for slot in slots:
            number, offset = divmod(slot.idx, BLOCK)
            self._marks[number].add(offset)
            by_block[number] = max(slot.until, by_block.get(number, 0))
        for number, until in by_block.items():
            await self._write_marks(number, until)

    async def ended(self) -> Ended:
        """The ended numbers, not older than a second.

        While the store can't be read: those of the last half minute; then `StoreUnavailable`.
        """
        async with self._looking:
            if self._ended is None or self._steady() >= self._looked_at + LOOK_SECONDS:
                try:
                    self._ended = await self._look()
                    self._looked_at = self._steady()
                except StoreUnavailable:
                    if self._ended is None or self._is_too_old(self._ended):
                        raise
            return self._ended

    def _is_too_old(self, ended: Ended) -> bool:
        return self._now() >= ended.as_of + OUTAGE_SECONDS

    async def _claim(self) -> None:
        """Make the numbers of a free block this process's own."""
        until = self._now() + max(self._access, _WINDOW) + self._access + _SLACK
        seed = int.from_bytes(self._random_bytes(16))
        dice = random.Random(seed)  # noqa: S311 - a number is no secret
        for _ in range(_PICKS):
            number = dice.randrange(self._size // BLOCK)
            try:
                await self._store.insert(_key(number), _UNMARKED, None, until + _FREE_AFTER)
            except Exists:
                continue
            self._free = [number * BLOCK + offset for offset in range(BLOCK)]
            dice.shuffle(self._free)
            self._until = until
            return
        log.error("the status list has no free numbers: make status_list.size larger")
        raise StoreUnavailable("the status list has no free numbers")

    async def _write_marks(self, number: int, until: int) -> None:
        """Write the marks of one block. Callers that come meanwhile share the next write."""
        async with self._marking[number]:
            offsets = self._marks.pop(number, None)
            if not offsets:
                return  # the caller before wrote them
            try:
                await self._mark(number, until, offsets)
            except BaseException:
                self._marks[number] |= offsets  # the next caller tries again, and knows
                raise

    async def _mark(self, number: int, until: int, offsets: Iterable[int]) -> None:
        key, expires_at = _key(number), until + _FREE_AFTER
        for _ in range(_ATTEMPTS):
            seen = await self._store.load(key)
            before = _bits_of(seen)
            bits = bytearray(before)
            for offset in offsets:
                bits[offset // 8] |= 1 << offset % 8
            if seen is not None and bits == before:
                return
            index = Index(_LISTED, _LISTED, number.to_bytes(_NUMBER, "big") + bits)
            try:
                if seen is None:  # an older store was put back: the claim is made again
                    await self._store.insert(key, SETTLED + bits, index, expires_at)
                else:
                    await self._store.replace(key, seen, SETTLED + bits, expires_at, index)
            except (Exists, Stale):
                await asyncio.sleep(0)
                continue
            return
        raise StoreUnavailable("other processes kept changing a part of the status list")

    async def _look(self) -> Ended:
        as_of = self._now()  # before the look: it may miss what is written meanwhile
        found: dict[int, bytes] = {}
        after: Cursor | None = None
        while True:
            page = await self._store.list(subject=_LISTED, after=after)
            for entry in page.entries:
                if as_of <= entry.expires_at - _FREE_AFTER + KEPT_LONGER:
                    number = int.from_bytes(entry.summary[:_NUMBER], "big")
                    found[number] = entry.summary[_NUMBER:]
            if page.next is None:
                break
            after = page.next
        if self._ended is not None and found == self._blocks:
            return Ended(as_of, self._ended.bits)
        self._blocks = found
        return Ended(as_of, _joined(found, self._size))

    def _now(self) -> int:
        return int(self._clock())


def _key(number: int) -> bytes:
    # No secret goes into it: replicas must agree on it while a secret is replaced.
    return hashlib.sha256(b"mintage status block\0" + number.to_bytes(_NUMBER, "big")).digest()


def _bits_of(seen: Versioned | None) -> bytes:
    return bytes(_BYTES) if seen is None else seen.record[len(SETTLED) :]


def _joined(blocks: Mapping[int, bytes], size: int) -> bytes:
    """The bits of all numbers. A former setting may have allowed more blocks than *size* does."""
    last = max(blocks, default=0)
    bits = bytearray(max(size // BLOCK, last + 1) * _BYTES)
    for number, block in blocks.items():
        bits[number * _BYTES : (number + 1) * _BYTES] = block
    return bytes(bits)
