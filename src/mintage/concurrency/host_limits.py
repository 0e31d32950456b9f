"""Limits how many requests for strangers run at once: in all, and to one host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

IN_ALL: Final = 32
TO_ONE_HOST: Final = 4


class _Host(msgspec.Struct):
    turns: asyncio.Semaphore = msgspec.field(default_factory=lambda: asyncio.Semaphore(TO_ONE_HOST))
    users: int = 0


class HostConcurrencyLimit:
    """A slow host holds up no requests to others, and strangers can't flood one host."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(IN_ALL)
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def of(self, host: str) -> AsyncIterator[None]:
        """Wait for a free place for a request to *host*, and keep it until the block ends."""
        ours = self._hosts.setdefault(host, _Host())
        ours.users += 1
        try:
            async with ours.turns, self._all:
                yield
        finally:
            ours.users -= 1
            if not ours.users:
                del self._hosts[host]
