"""How a server is: its logins, its providers, its store, and what this process did."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mintage.admin.activity import MINUTES, Activity
from mintage.app.running import Running
from mintage.errors import MintageError, StoreError
from mintage.values import Clock

_SECONDS: Final = 5  # that the store or a provider may take
_KEPT: Final = 10.0  # seconds: a page that reloads itself costs a scan of the store no more often


@dataclass(slots=True)
class Statuses:
    """Makes the status of the server. *steady*: a clock that cannot be set."""

    activity: Activity
    steady: Clock
    _seen: tuple[float, dict[str, Any]] | None = field(default=None, init=False, repr=False)

    async def of(self, running: Running) -> dict[str, Any]:
        """The status of *running* now. What is costly is up to ten seconds old."""
        if self._seen is None or self.steady() >= self._seen[0] + _KEPT:
            self._seen = self.steady(), await self._looked(running)
        return self._seen[1] | {"process": self._process()}

    async def _looked(self, running: Running) -> dict[str, Any]:
        upstreams = list(running.upstreams)
        live, denied, *providers = await asyncio.gather(
            _counted(running), _denied(running), *(_state(each.check) for each in upstreams)
        )
        return {
            "issuer": running.site.issuer,
            "store": "unavailable" if live is None else "ok",
            "grants": live,
            "denied_clients": denied,
            "providers": [
                {"name": each.name, "title": each.title, "status": state}
                for each, state in zip(upstreams, providers, strict=True)
            ],
        }

    def _process(self) -> dict[str, Any]:
        activity = self.activity
        return {
            "pid": os.getpid(),
            "seconds": activity.seconds,
            "last_5_minutes": activity.last(5),
            "last_hour": activity.last(MINUTES),
            "refusals_last_hour": activity.refusals(MINUTES),
        }


async def _counted(running: Running) -> int | None:
    """How many logins are live; None if the store does not say."""
    try:
        async with asyncio.timeout(_SECONDS):
            return sum([1 async for _ in running.vault.listing.find()])
    except (StoreError, TimeoutError):
        return None


async def _denied(running: Running) -> int | None:
    try:
        async with asyncio.timeout(_SECONDS):
            return len(await running.client_denials.look())
    except (StoreError, TimeoutError):
        return None


async def _state(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(_SECONDS):
            await check()
    except (MintageError, TimeoutError):
        return "unavailable"
    return "ok"
