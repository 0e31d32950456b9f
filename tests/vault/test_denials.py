"""The list of denied clients in the store."""

import asyncio
import secrets

import pytest

from mintage.errors import StoreUnusable
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.denials import _KEY, MOST, Denial, Denials
from mintage.vault.values import VaultKeys
from tests.support.logins import NEW, OLD

CLOCK = ManualClock(1000)


def denials(store: MemoryStore, *keys: VaultKeys) -> Denials:
    return Denials(store, keys or (OLD,), clock=CLOCK, random_bytes=secrets.token_bytes)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=CLOCK)


async def test_a_denial_stays_until_it_is_taken_back(store: MemoryStore) -> None:
    here = denials(store)
    assert await here.load() == ()
    assert await here.deny("app.example", by="alice")
    assert not await here.deny("app.example", by="bob")
    assert await denials(store).load() == (Denial("app.example", 1000, "alice"),)
    assert await here.admit("app.example")
    assert not await here.admit("app.example")
    assert await here.load() == ()


async def test_operators_at_the_same_time_lose_nothing(store: MemoryStore) -> None:
    names = [f"{number}.example" for number in range(20)]
    await asyncio.gather(*(denials(store).deny(name, by=None) for name in names))
    assert {one.name for one in await denials(store).load()} == set(names)


async def test_a_stolen_store_names_no_client(store: MemoryStore) -> None:
    await denials(store).deny("app.example", by="alice")
    seen = await store.load(_KEY)
    assert seen is not None
    assert b"example" not in seen.record
    assert b"alice" not in seen.record


async def test_the_list_outlives_the_secret_it_was_written_under(store: MemoryStore) -> None:
    await denials(store, OLD).deny("app.example", by=None)
    await denials(store, NEW, OLD).reseal()
    assert len(await denials(store, NEW).load()) == 1


async def test_a_list_under_a_secret_that_is_not_here_is_not_overwritten(
    store: MemoryStore,
) -> None:
    await denials(store, OLD).deny("app.example", by=None)
    there = denials(store, NEW)
    for attempt in (there.load(), there.deny("b.example", by=None), there.reseal()):
        with pytest.raises(StoreUnusable, match="put the missing secret back"):
            await attempt
    assert len(await denials(store, OLD).load()) == 1


async def test_the_list_has_an_end(store: MemoryStore) -> None:
    here = denials(store)
    for number in range(MOST):
        await here.deny(str(number), by=None)
    with pytest.raises(StoreUnusable, match="admit some of them first"):
        await here.deny("one more", by=None)
