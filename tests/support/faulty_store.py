"""Stores that fail, hang and count to order, for tests of what works on one."""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mintage.errors import StoreUnavailable
from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import Status, Store
from mintage.values import Clock

FOREVER = sys.maxsize


class FaultyStore(MemoryStore):
    """A memory store whose `load`, `insert` and `replace` have faults on order.

    *failing*: how many of the next calls fail and do nothing. *losing*: how many of the next
    writes are done and then fail all the same; with *dying* every call after such a write fails.
    *arrive*: no load is answered until it is set, however long ago its record was read.
    *seen* counts calls by their name. *state* is what `status` says.
    """

    def __init__(self, clock: Clock, *, state: Status | None = None) -> None:
        super().__init__(clock=clock)
        self.failing = self.losing = 0
        self.dying = False
        self.arrive = asyncio.Event()
        self.arrive.set()
        self.seen: Counter[str] = Counter()
        self.state = state or Status()

    @property
    def writes(self) -> int:
        return self.seen["insert"] + self.seen["replace"]

    async def load(self, *arguments: Any) -> Any:
        self._begin("load")
        found = await super().load(*arguments)
        await self.arrive.wait()
        return found

    async def insert(self, *arguments: Any) -> None:
        await self._write("insert", super().insert, arguments)

    async def replace(self, *arguments: Any) -> None:
        await self._write("replace", super().replace, arguments)

    async def status(self) -> Status:
        self._begin("status")
        return self.state

    async def _write(
        self, name: str, call: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None:
        self._begin(name)
        await call(*arguments)
        if self.losing:
            self.losing -= 1
            self.failing = FOREVER if self.dying else self.failing
            raise StoreUnavailable("the answer was lost")

    def _begin(self, name: str) -> None:
        self.seen[name] += 1
        if self.failing:
            self.failing -= 1
            raise StoreUnavailable("no connection")


@contextmanager
def failing(store: Store, *methods: str) -> Iterator[None]:
    """*methods* of the *store* of a running server fail meanwhile; by default it can't be read."""

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("no connection")

    with pytest.MonkeyPatch.context() as patch:
        for method in methods or ("load",):
            patch.setattr(store, method, fail)
        yield
