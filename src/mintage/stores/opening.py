"""Opens the store of a URL. A new store is a file and a line in the table below."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Final, Protocol

from mintage.errors import StoreUnusable
from mintage.stores.missing import no_store_at
from mintage.stores.protocol import Store
from mintage.values import Clock


async def _memory(_: str, clock: Clock, *, existing: bool) -> Store:  # noqa: ARG001
    from mintage.stores.memory import MemoryStore

    return MemoryStore(clock=clock)


async def _sqlite(url: str, clock: Clock, *, existing: bool) -> Store:
    from mintage.stores.sqlite import SQLiteStore

    path = Path(url.partition("://")[2])
    if existing:
        _check_file(path)
    return await SQLiteStore.open(path, clock=clock)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise StoreUnusable(f"store: {no_store_at(path)}")


async def _postgres(url: str, clock: Clock, *, existing: bool) -> Store:
    from mintage.stores.postgres import PostgresStore

    return await PostgresStore.open(url, clock=clock, existing=existing)


async def _redis(url: str, clock: Clock, *, existing: bool) -> Store:  # noqa: ARG001
    from mintage.stores.redis import RedisStore

    return await RedisStore.open(url, clock=clock)


class _Opener(Protocol):
    def __call__(self, url: str, clock: Clock, /, *, existing: bool) -> Awaitable[Store]: ...


_OPENERS: Final[dict[str, _Opener]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "redis": _redis,
    "rediss": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
}


def check_store_url(url: str) -> None:
    """Raises ``ValueError`` for a URL that `open_store` has no store for."""
    scheme, separator, path = url.partition("://")
    if not separator or scheme not in _OPENERS:
        raise ValueError("must be one of: " + ", ".join(f"{name}://…" for name in _OPENERS))
    if scheme == "sqlite" and not path:
        raise ValueError("needs the path of a file: sqlite:///var/lib/mintage/mintage.db")


async def open_store(url: str, *, clock: Clock, existing: bool = False) -> Store:
    """The store at *url*: ``memory://``, ``sqlite://`` and a path, ``postgresql://``, ``redis://``.

    *existing*: it was created before, so no file and no tables are created. ``ValueError`` for an
    unknown scheme.
    """
    check_store_url(url)
    return await _OPENERS[url.partition("://")[0]](url, clock, existing=existing)
