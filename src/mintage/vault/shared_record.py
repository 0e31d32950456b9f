"""A record that all servers on one store share, changed by compare-and-swap."""

import asyncio
from collections.abc import Callable
from typing import Final

from mintage.errors import Exists, Stale, StoreUnavailable
from mintage.stores.protocol import Store

_ATTEMPTS: Final = 100


async def change(
    store: Store, key: bytes, new: Callable[[bytes | None], bytes | None], *, expires_at: int
) -> None:
    """Replace the record under *key* with what *new* makes of it; None: leave it.

    *new* gets None if there is no record. It is called again after a lost race. Raises
    `StoreUnavailable`.
    """
    for _ in range(_ATTEMPTS):
        seen = await store.load(key)
        record = new(None if seen is None else seen.record)
        if record is None:
            return
        try:
            if seen is None:
                await store.insert(key, record, None, expires_at)
            else:
                await store.replace(key, seen, record, expires_at)
        except (Exists, Stale):
            await asyncio.sleep(0)
            continue
        return
    raise StoreUnavailable("other processes kept changing a record that all servers share")
