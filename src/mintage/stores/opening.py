"""From a URL to a store. A new store is a file and a line in the table below."""

from collections.abc import Awaitable, Callable
from typing import Final

from mintage.stores.protocol import Store
from mintage.values import Clock


async def _memory(_: str, clock: Clock) -> Store:
    from mintage.stores.memory import MemoryStore

    return MemoryStore(clock=clock)


async def _sqlite(path: str, clock: Clock) -> Store:
    from mintage.stores.sqlite import SQLiteStore

    return await SQLiteStore.open(path, clock=clock)


_OPENERS: Final[dict[str, Callable[[str, Clock], Awaitable[Store]]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
}


def check_store_url(url: str) -> None:
    """Raises ``ValueError`` for a URL that `open_store` has no store for."""
    scheme, separator, path = url.partition("://")
    if not separator or scheme not in _OPENERS:
        raise ValueError("must be one of: " + ", ".join(f"{name}://…" for name in _OPENERS))
    if scheme == "sqlite" and not path:
        raise ValueError("needs the path of a file: sqlite:///var/lib/mintage/mintage.db")


async def open_store(url: str, *, clock: Clock) -> Store:
    """The store at *url*: ``memory://`` or ``sqlite://`` with the path of a file behind it.

    Raises `StoreUnavailable` or `StoreUnusable`; ``ValueError`` for an unknown scheme.
    """
    check_store_url(url)
    scheme, _, path = url.partition("://")
    return await _OPENERS[scheme](path, clock)
