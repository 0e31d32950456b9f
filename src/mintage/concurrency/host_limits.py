"""How many strangers' errands run at once: in all, and to one host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

IN_ALL: Final = 32
TO_ONE_HOST: Final = 4


@dataclass(slots=True)
class _Host:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TO_ONE_HOST))
    users: int = 0


class HostConcurrencyLimit:
    """So nobody's slow host holds up the others, and nobody aims this server at one host."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(IN_ALL)
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def of(self, host: str) -> AsyncIterator[None]:
        """A turn for an errand to *host*, waited for; over when the block ends."""
        ours = self._hosts.setdefault(host, _Host())
        ours.users += 1
        try:
            async with ours.turns, self._all:
                yield
        finally:
            ours.users -= 1
            if not ours.users:
                del self._hosts[host]
