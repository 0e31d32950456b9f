"""``/healthz`` and ``/readyz``: for programs that start, stop and balance processes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import MintageError
from mintage.web.edge import NO_STORE, check_get, json_response

log = logging.getLogger("mintage.server")

Probe: TypeAlias = Callable[[], Awaitable[object]]

_SECONDS: Final = 5.0


async def alive(request: Request) -> Response:
    """The process responds. Nothing else is checked."""
    check_get(request)
    return json_response({"status": "ok"}, headers=NO_STORE)


class Readiness(msgspec.Struct, frozen=True):
    """Whether a login could be served right now. Each probe is called, and has a name.

    *notes* are sentences and numbers, each under a name. They are shown, and never make it fail.
    Sentences are logged too.
    """

    probes: Mapping[str, Probe]
    notes: Callable[[], Awaitable[Mapping[str, str | float]]] | None = None

    async def __call__(self, request: Request) -> Response:
        """200, or 503 with the names of what is missing. The log says why."""
        check_get(request)
        names = list(self.probes)
        found = await asyncio.gather(*(self._ask(name) for name in names))
        body: dict[str, str | float] = dict(zip(names, found, strict=True))
        ready = all(state == "ok" for state in found)
        body |= await self._noted() if ready else {}
        headers = NO_STORE if ready else NO_STORE | {"retry-after": "5"}
        return json_response(body, status=200 if ready else 503, headers=headers)

    async def _noted(self) -> Mapping[str, str | float]:
        if self.notes is None:
            return {}
        try:
            async with asyncio.timeout(_SECONDS):
                found = await self.notes()
        except (MintageError, TimeoutError) as error:
            log.warning("not known: %s", str(error) or "no answer in time")
            return {}
        for name, note in found.items():
            if isinstance(note, str):
                log.warning("%s: %s", name, note)
        return found

    async def _ask(self, name: str) -> str:
        try:
            async with asyncio.timeout(_SECONDS):
                await self.probes[name]()
        except (MintageError, TimeoutError) as error:
            log.warning("not ready: %s: %s", name, str(error) or "no answer in time")
            return "unavailable"
        return "ok"
