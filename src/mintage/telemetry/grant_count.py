"""Counts the live grants, by reading the store's list of them from time to time."""

import asyncio
from contextlib import suppress
from typing import Final

from mintage.errors import StoreError
from mintage.grants.records import is_live
from mintage.stores.protocol import Page, Store
from mintage.telemetry.metrics import GRANTS
from mintage.telemetry.steps import Meter

SECONDS: Final = 300.0
"""Between two counts."""

_PAGE: Final = 1000
_PAUSE: Final = 0.05  # seconds between two pages: requests go first


async def counted(store: Store) -> int:
    """How many grants are listed. Raises `StoreError`."""
    found, page = 0, await store.list(limit=_PAGE)
    while page.next is not None:
        found += _live(page)
        await asyncio.sleep(_PAUSE)
        page = await store.list(after=page.next, limit=_PAGE)
    return found + _live(page)


def _live(page: Page) -> int:
    """How many grants are on *page*, which may list remembered consents too."""
    return sum(is_live(entry.head) for entry in page.entries)


async def keep_counting(store: Store, meter: Meter) -> None:
    """Count until it is cancelled. While the store fails, the last number stays."""
    while True:
        with suppress(StoreError):  # the operation of the store is counted as failed already
            meter.set(GRANTS, await counted(store))
        await asyncio.sleep(SECONDS)
