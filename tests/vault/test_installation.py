"""Whose store it is."""

import asyncio
import secrets

import pytest

from mintage.errors import StoreUnusable
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault import installation

OURS, THEIRS = "https://ours.example", "https://theirs.example"
OLD, NEW, FOREIGN = b"old.", b"new.", b"else"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=ManualClock())


async def join(store: MemoryStore, issuer: str, *ids: bytes, adopt: bool = False) -> None:
    await installation.join(store, issuer, ids, secrets.token_bytes, adopt=adopt)


async def test_the_first_start_founds_it_and_many_at_once_agree(store: MemoryStore) -> None:
    assert await installation.find(store) is None
    await asyncio.gather(*(join(store, OURS, OLD) for _ in range(20)))
    found = await installation.find(store)
    assert found is not None
    assert (found.issuers, found.secrets) == ((OURS,), (OLD,))


async def test_it_stays_the_same_while_secrets_come_and_go(store: MemoryStore) -> None:
    await join(store, OURS, OLD)
    first = await installation.find(store)
    await join(store, OURS, NEW, OLD)
    await join(store, OURS, NEW)
    await join(store, THEIRS, NEW)  # it has moved, and kept its secret
    await join(store, THEIRS, FOREIGN)  # and then replaced it
    last = await installation.find(store)
    assert first is not None
    assert last is not None
    assert first.id == last.id


async def test_another_installation_is_refused(store: MemoryStore) -> None:
    await join(store, OURS, OLD)
    with pytest.raises(StoreUnusable, match=r"another installation of Mintage \(https://ours"):
        await join(store, THEIRS, FOREIGN)
    await join(store, THEIRS, FOREIGN, adopt=True)
    with pytest.raises(StoreUnusable, match="theirs"):
        await installation.check(store, OURS, [OLD])


async def test_a_second_issuer_under_one_secret_is_warned_of(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    await join(store, OURS, OLD)
    await join(store, THEIRS, OLD)
    assert "used by https://ours.example too" in caplog.text


async def test_a_damaged_record_is_said_and_can_be_replaced(store: MemoryStore) -> None:
    await store.insert(installation.KEY, b"\xc1", None, 2**40)
    with pytest.raises(StoreUnusable, match="can't be read"):
        await join(store, OURS, OLD)
    await join(store, OURS, OLD, adopt=True)
    await join(store, OURS, OLD)
