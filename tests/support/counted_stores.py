"""Servers whose stores count what is asked of them. Request ``stores`` before ``world``."""

import pytest

import mintage.app.lasting
from mintage.stores.opening import open_store
from mintage.testing.counting_store import CountingStore
from mintage.values import Clock


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[CountingStore]:
    """Those that the servers of a test open from now on."""
    opened: list[CountingStore] = []

    async def counting(url: str, *, clock: Clock) -> CountingStore:
        opened.append(CountingStore(await open_store(url, clock=clock)))
        return opened[-1]

    monkeypatch.setattr(mintage.app.lasting, "open_store", counting)
    return opened
