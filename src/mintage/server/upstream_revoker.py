"""Revokes tokens at the upstream when their grant has ended here (RFC 7009)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from mintage.errors import UpstreamError
from mintage.grants.states import UpstreamTokens
from mintage.partly_shown import PartlyShown

_DRAIN_SECONDS: Final = 5.0

log = logging.getLogger("mintage.server")


class UpstreamRevoker(PartlyShown, frozen=True):
    """Works after the response: the grant has ended here, even if the upstream can't be asked."""

    not_shown = ("_tasks",)

    revoke: Callable[[UpstreamTokens], Awaitable[None]]
    _tasks: set[asyncio.Task[None]] = msgspec.field(default_factory=set)

    def __call__(self, tokens: UpstreamTokens) -> None:
        """Revoke *tokens*, which belong to no grant any more, at the upstream."""
        task = asyncio.create_task(self._revoke(tokens))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait for requests under way, a few seconds at most."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(list(self._tasks), timeout=_DRAIN_SECONDS)
        for task in late:
            task.cancel()

    async def _revoke(self, tokens: UpstreamTokens) -> None:
        try:
            await self.revoke(tokens)
        except UpstreamError as error:
            log.warning("upstream tokens of an ended grant were not revoked: %s", error)
