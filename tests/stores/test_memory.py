"""What only the memory store can get wrong: it has no indexes but those that it keeps itself."""

import secrets
from typing import Any

import pytest

from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import UNLISTED, Index
from mintage.testing.clock import ManualClock

FAR = 2**40


class Counted(bytes):
    """A key that counts how often it is compared with another one."""

    compared = 0

    def __lt__(self, other: bytes) -> bool:
        Counted.compared += 1
        return bytes.__lt__(self, other)


def key() -> bytes:
    return Counted(secrets.token_bytes(32))


@pytest.mark.parametrize("asked", [{"subject": b"alice"}, {"client": b"ide"}, {}])
async def test_a_list_of_few_looks_at_few(asked: dict[str, Any]) -> None:
    """Others' records, and those that are in no list any more, cost a login nothing."""
    store = MemoryStore(clock=ManualClock())
    for n in range(1000):
        if asked:
            await store.insert(key(), b"", Index(b"user %d" % n, b"client %d" % n, b""), FAR)
        ended = key()
        await store.insert(ended, b"", Index(b"alice", b"ide", b""), FAR)
        seen = await store.load(ended)
        assert seen is not None
        await store.replace(ended, seen, b"", FAR, UNLISTED)
        gone = key()
        await store.insert(gone, b"", Index(b"alice", b"ide", b""), FAR)
        await store.delete(gone)
    mine = sorted(key() for _ in range(3))
    for one in mine:
        await store.insert(one, b"", Index(b"alice", b"ide", b""), FAR)
    Counted.compared = 0
    page = await store.list(**asked)
    assert [entry.key for entry in page.entries] == mine
    assert Counted.compared < 10


async def test_a_record_that_changes_hands_is_listed_for_the_new_one_alone() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    await store.insert(b"k", b"", Index(b"alice", b"ide", b""), int(clock.now) + 60)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"", int(clock.now) + 60, Index(b"bob", b"cli", b""))
    assert (await store.list(subject=b"alice")).entries == ()
    assert (await store.list(client=b"ide")).entries == ()
    assert len((await store.list(subject=b"bob", client=b"cli")).entries) == 1
    clock.advance(61)
    await store.insert(b"k", b"", Index(b"carol", b"ide", b""), FAR)
    assert (await store.list(subject=b"bob")).entries == ()
    assert len((await store.list(client=b"ide")).entries) == 1
    clock.advance(FAR)
    assert await store.sweep() == 1
    assert (await store.list(client=b"ide")).entries == ()
