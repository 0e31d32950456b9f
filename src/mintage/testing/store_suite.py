"""The promises of `mintage.stores.protocol.Store`, as tests.

Subclass `StoreSuite`, or `SharedStoreSuite` for a store that processes share, and give it an
``open_store`` fixture::

    class TestMyStore(SharedStoreSuite):
        @pytest.fixture
        async def open_store(self, clock):
            stores = []

            async def open_store():
                stores.append(await MyStore.open(..., clock=clock))
                return stores[-1]

            yield open_store
            for store in stores:
                await store.close()
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from mintage.errors import Exists, Stale, StoreUnavailable
from mintage.stores.protocol import SWEEP_MARGIN, UNLISTED, Index, Row, Store, Versioned
from mintage.testing.clock import ManualClock

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
"""Opens the store under test once more, on the same records if it is a shared one."""

FAR = 2**40
"""A time, in seconds since the epoch, that no test reaches."""
_PAGE = 4
_PATIENCE = 60  # seconds


def index(subject: str = "alice", client: str = "ide", summary: bytes = b"sealed") -> Index:
    """An index entry for tests: plain names in place of keyed hashes.

    Args:
        subject: The user.
        client: The client.
        summary: The summary.

    Returns:
        The entry.
    """
    return Index(subject.encode(), client.encode(), summary)


async def loaded(store: Store, key: bytes) -> Versioned:
    """Load a record that must be there.

    Args:
        store: The store.
        key: The key of the record.

    Returns:
        The record.

    Raises:
        AssertionError: There is none.
    """
    seen = await store.load(key)
    assert seen is not None
    return seen


class StoreSuite:
    """The tests for a store of one process."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    async def test_what_is_written_is_read(self, open_store: OpenStore) -> None:
        store = await open_store()
        for key, record in ((b"k", b"one"), (b"\x00\xff", b""), (b"long", b"x" * 65536)):
            await store.insert(key, record, index(), FAR)
            assert (await loaded(store, key)).record == record
        assert await store.load(b"nothing") is None

    async def test_a_key_is_taken_once(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.insert(b"k", b"one", None, FAR)
        with pytest.raises(Exists):
            await store.insert(b"k", b"two", None, FAR)
        assert (await loaded(store, b"k")).record == b"one"

    async def test_one_of_a_hundred_inserts_wins(self, open_store: OpenStore) -> None:
        store = await open_store()
        racers = [store.insert(b"k", bytes([n]), None, FAR) for n in range(100)]
        results = await asyncio.gather(*racers, return_exceptions=True)
        assert [r for r in results if not isinstance(r, Exists)] == [None]
        assert (await loaded(store, b"k")).record == bytes([results.index(None)])

    async def test_one_of_a_hundred_replacements_wins(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.insert(b"k", b"pending", None, FAR)
        seen = await loaded(store, b"k")
        racers = [store.replace(b"k", seen, bytes([n]), FAR) for n in range(100)]
        results = await asyncio.gather(*racers, return_exceptions=True)
        assert [r for r in results if not isinstance(r, Stale)] == [None]
        assert (await loaded(store, b"k")).record == bytes([results.index(None)])

    async def test_replacing_what_is_gone_is_stale(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.insert(b"k", b"one", None, FAR)
        seen = await loaded(store, b"k")
        await store.delete(b"k")
        with pytest.raises(Stale):
            await store.replace(b"k", seen, b"two", FAR)
        assert await store.load(b"k") is None

    async def test_a_version_never_comes_back(self, open_store: OpenStore) -> None:
        """The same key, deleted and inserted again with the same bytes, is another state."""
        store = await open_store()
        await store.insert(b"k", b"one", None, FAR)
        seen = await loaded(store, b"k")
        await store.delete(b"k")
        await store.insert(b"k", b"one", None, FAR)
        with pytest.raises(Stale):
            await store.replace(b"k", seen, b"two", FAR)

    async def test_deleting_nothing_is_fine(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.delete(b"k")

    async def test_a_record_is_gone_from_the_second_it_expires(
        self, open_store: OpenStore, clock: ManualClock
    ) -> None:
        store = await open_store()
        end = int(clock()) + 10
        await store.insert(b"k", b"one", index(), end)
        clock.advance(9.9)
        seen = await loaded(store, b"k")
        clock.advance(0.1)
        assert await store.load(b"k") is None
        assert (await store.list()).entries == ()
        with pytest.raises(Stale):
            await store.replace(b"k", seen, b"two", FAR)
        await store.insert(b"k", b"three", None, FAR)
        assert (await loaded(store, b"k")).record == b"three"

    async def test_replacing_moves_the_end(self, open_store: OpenStore, clock: ManualClock) -> None:
        store = await open_store()
        await store.insert(b"k", b"one", index(), int(clock()) + 10)
        await store.replace(b"k", await loaded(store, b"k"), b"two", int(clock()) + 100)
        clock.advance(50)
        assert (await loaded(store, b"k")).record == b"two"
        assert len((await store.list()).entries) == 1

    async def test_a_sweep_is_bounded_and_takes_only_what_expired(
        self, open_store: OpenStore, clock: ManualClock
    ) -> None:
        store = await open_store()
        for n in range(5):
            await store.insert(bytes([n]), b"old", index(), int(clock()) + 10)
        await store.insert(b"live", b"new", index(), FAR)
        clock.advance(10 + SWEEP_MARGIN)
        assert [await store.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
        assert (await loaded(store, b"live")).record == b"new"

    async def test_a_sweep_by_a_clock_that_is_ahead_takes_nothing_that_is_live(
        self, open_store: OpenStore, clock: ManualClock
    ) -> None:
        """A replica's clock is ahead by less than the margin: the others still need the record."""
        store = await open_store()
        await store.insert(b"k", b"claim", index(), int(clock()) + 10)
        clock.advance(10 + SWEEP_MARGIN - 1)
        assert await store.sweep() == 0
        clock.advance(1 - SWEEP_MARGIN - 5)  # the others' clock
        assert (await loaded(store, b"k")).record == b"claim"
        assert len((await store.list()).entries) == 1
        with pytest.raises(Exists):
            await store.insert(b"k", b"claimed again", None, FAR)

    async def test_a_sweep_takes_all_that_is_due_behind_what_lives_on(
        self, open_store: OpenStore, clock: ManualClock
    ) -> None:
        """Records whose end moved do not hide those that ended."""
        store = await open_store()
        lives_on, ended = [b"a", b"b", b"c"], [b"d", b"e"]
        for key in lives_on + ended:
            await store.insert(key, b"one", index(), int(clock()) + 10)
        for key in lives_on:
            await store.replace(key, await loaded(store, key), b"two", FAR)
        clock.advance(10 + SWEEP_MARGIN)
        assert await store.sweep(len(ended)) == len(ended)
        assert await store.sweep(len(ended)) == 0
        assert [entry.key for entry in (await store.list()).entries] == lives_on

    async def test_lists_are_filtered_and_paged_in_one_order(self, open_store: OpenStore) -> None:
        store = await open_store()
        for n in range(25):
            names = index("alice" if n % 2 else "bob", "ide" if n % 3 else "chat", bytes([n]))
            await store.insert(bytes([n]), b"record", names, FAR)
        await store.insert(b"unlisted", b"claim", None, FAR)
        assert await self.all_of(store) == set(range(25))
        assert await self.all_of(store, subject=b"alice") == {n for n in range(25) if n % 2}
        assert await self.all_of(store, client=b"chat") == {n for n in range(25) if not n % 3}
        both = await self.all_of(store, subject=b"alice", client=b"chat")
        assert both == {n for n in range(25) if n % 2 and not n % 3}

    async def test_a_list_shows_the_head_of_each_record(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.insert(b"k", bytes(range(40)), index(), FAR)
        assert (await store.list()).entries[0].head == bytes(range(16))
        await store.replace(b"k", await loaded(store, b"k"), b"short", FAR)
        assert (await store.list()).entries[0].head == b"short"

    async def test_a_record_can_be_listed_under_new_names(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.insert(b"k", b"one", index("alice", "ide", b"\1"), FAR)
        await store.replace(b"k", await loaded(store, b"k"), b"two", FAR)
        assert await self.all_of(store, subject=b"alice") == {1}
        new = index("alice under a new key", "ide", b"\2")
        await store.replace(b"k", await loaded(store, b"k"), b"three", FAR, new)
        assert await self.all_of(store, subject=b"alice under a new key") == {2}
        assert await self.all_of(store, client=b"ide") == {2}
        assert await self.all_of(store) == {2}

    async def test_a_record_can_leave_all_lists(self, open_store: OpenStore) -> None:
        """An ended record needs no name. It can still be loaded, and listed again."""
        store = await open_store()
        await store.insert(b"k", b"one", index("alice", "ide", b"\1"), FAR)
        await store.insert(b"l", b"one", index("alice", "ide", b"\2"), FAR)
        await store.replace(b"k", await loaded(store, b"k"), b"two", FAR, UNLISTED)
        assert (await loaded(store, b"k")).record == b"two"
        assert await self.all_of(store) == {2}
        assert await self.all_of(store, subject=b"alice") == {2}
        await store.replace(b"k", await loaded(store, b"k"), b"three", FAR)
        assert await self.all_of(store, client=b"ide") == {2}
        await store.replace(b"k", await loaded(store, b"k"), b"four", FAR, index("bob", "ide"))
        assert len((await store.list(subject=b"bob")).entries) == 1

    async def test_all_rows_are_told_with_all_that_belongs_to_them(
        self, open_store: OpenStore, clock: ManualClock
    ) -> None:
        store = await open_store()
        await store.insert(b"listed", b"one", index(), FAR)
        await store.insert(b"unlisted", b"two", None, FAR - 1)
        await store.insert(b"over", b"three", index(), FAR)
        await store.replace(b"over", await loaded(store, b"over"), b"four", FAR, UNLISTED)
        await store.insert(b"expired", b"five", index(), int(clock()) + 1)
        many = {b"many %d" % n for n in range(1200)}
        for key in many:
            await store.insert(key, b"", None, FAR)
        clock.advance(1)
        rows = {row.key: row async for row in store.rows()}
        assert rows.keys() == many | {b"listed", b"unlisted", b"over"}
        assert rows[b"listed"] == Row(b"listed", b"one", FAR, index())
        assert rows[b"unlisted"] == Row(b"unlisted", b"two", FAR - 1, None)
        assert rows[b"over"] == Row(b"over", b"four", FAR, None)

    async def test_a_store_tells_how_it_is(self, open_store: OpenStore) -> None:
        status = await (await open_store()).status()
        assert status.warnings == ()
        assert status.time is None or abs(status.time - time.time()) < _PATIENCE

    async def all_of(
        self, store: Store, subject: bytes | None = None, client: bytes | None = None
    ) -> set[int]:
        """The summaries of all pages. Each entry must come once.

        Args:
            store: The store.
            subject: As in `Store.list`.
            client: As in `Store.list`.

        Returns:
            The summaries.
        """
        found: list[int] = []
        after = None
        while True:
            page = await store.list(subject=subject, client=client, after=after, limit=_PAGE)
            assert len(page.entries) <= _PAGE
            found += [entry.summary[0] for entry in page.entries]
            after = page.next
            if after is None:
                break
        assert len(found) == len(set(found))
        return set(found)

    async def test_a_closed_store_says_so(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.insert(b"k", b"one", None, FAR)
        seen = await loaded(store, b"k")
        await store.close()
        await store.close()
        for call in (
            store.load(b"k"),
            store.insert(b"l", b"", None, FAR),
            store.replace(b"k", seen, b"", FAR),
            store.delete(b"k"),
            store.list(),
            store.sweep(),
            store.status(),
        ):
            with pytest.raises(StoreUnavailable):
                await call


class SharedStoreSuite(StoreSuite):
    """The tests for a store that several processes share: those of `StoreSuite`, and more."""

    async def test_another_opening_sees_every_write(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await first.insert(b"k", b"one", None, FAR)
        seen = await loaded(second, b"k")
        await first.replace(b"k", seen, b"two", FAR)
        with pytest.raises(Stale):
            await second.replace(b"k", seen, b"three", FAR)
        assert (await loaded(second, b"k")).record == b"two"

    async def test_another_opening_hears_of_changes(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await first.insert(b"a", b"one", None, FAR)
        await first.insert(b"b", b"one", None, FAR)
        heard: list[bytes] = []
        both = asyncio.Event()

        async def listen() -> None:
            async for key in second.changes():
                heard.append(key)
                if {b"a", b"b"} <= set(heard):
                    both.set()

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0.2)
        await first.replace(b"a", await loaded(first, b"a"), b"two", FAR)
        await first.delete(b"b")
        async with asyncio.timeout(5):
            await both.wait()
        listener.cancel()

    async def test_what_was_written_outlives_the_opening(self, open_store: OpenStore) -> None:
        first = await open_store()
        await first.insert(b"k", b"one", index(), FAR)
        await first.close()
        second = await open_store()
        assert (await loaded(second, b"k")).record == b"one"
        assert len((await second.list()).entries) == 1
