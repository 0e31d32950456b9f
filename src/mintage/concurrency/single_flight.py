"""Does one piece of work for each key at a time, for any number of callers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("mintage")


class SingleFlight(Generic[T]):
    """Joins callers of the same key.

    The work runs in a task of its own and continues if a caller is cancelled, because its result (a
    rotated upstream token, say) must be saved in any case.
    """

    def __init__(self) -> None:
        self._flights: dict[bytes, asyncio.Task[T]] = {}

    def start(self, key: bytes, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """The task that does *work* for *key*: the running one, or a new one."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(_run(work))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    async def join(self, key: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """What *work* returns or raises. It runs once for all callers that join meanwhile."""
        return await asyncio.shield(self.start(key, work))

    def forget(self, key: bytes) -> None:
        """Later callers do not join the work under way for *key*."""
        self._flights.pop(key, None)

    def forget_all(self) -> None:
        self._flights.clear()

    def _landed(self, key: bytes, flight: asyncio.Task[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled() and (error := flight.exception()) is not None:
            log.debug("background work ended with %s", type(error).__name__)

    async def drain(self) -> None:
        """Wait for all work under way, and what begins meanwhile."""
        while self._flights:
            await self.settle()

    async def settle(self) -> None:
        """Wait for the work that is under way now."""
        if self._flights:
            await asyncio.wait(list(self._flights.values()))


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
