"""Leases in records: one process at a time asks the upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from mintage.errors import StoreError
from mintage.grants import lease
from mintage.grants.lease import Wait
from mintage.grants.states import Active, Grant, Lease, Reason
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.values import Clock
from mintage.vault.stored_grants import Found, StoredGrants
from mintage.vault.values import Decide, Decision, Lifetimes, OpenGrant, Refused

_POLL: Final = 0.05  # seconds between two looks at another process's lease


class Leases:
    """Takes, prolongs and releases leases. *holder* is random, and different each time."""

    def __init__(
        self, grants: StoredGrants, *, clock: Clock, steady: Clock, lifetimes: Lifetimes
    ) -> None:
        self._grants = grants
        self._clock = clock
        self._steady = steady
        self._lifetimes = lifetimes

    async def take(
        self, secret: bytes, holder: bytes, found: Found | None = None
    ) -> OpenGrant | Refused:
        """The grant with a lease for *holder*; or without one, if another process renewed it.

        It waits for another's lease as long as a lease lasts, whatever the lease's end is by this
        clock; and as long again whenever its holder prolongs it. *found*: the grant, if it was just
        read.
        """
        awaited: tuple[Lease, float] | None = None  # and since when
        while True:
            waiting: list[Wait] = []
            overdue = None
            if awaited is not None and self._steady() - awaited[1] >= self._lifetimes.lease:
                overdue = awaited[0]

            def decision(
                grant: Grant, waiting: list[Wait] = waiting, overdue: Lease | None = overdue
            ) -> Decision:
                if not isinstance(grant, Active):
                    return Refuse(Reason.REVOKED)
                turn = lease.lease(
                    grant,
                    holder,
                    now=int(self._clock()),
                    margin=self._lifetimes.upstream_margin,
                    duration=self._lifetimes.lease,
                    overdue=overdue,
                )
                if isinstance(turn, Wait):
                    waiting.append(turn)
                    return Keep(grant)
                return turn

            outcome = await self._grants.change(secret, decision, found=found)
            if not waiting:
                return outcome
            found = None
            if awaited is None or awaited[0] != waiting[-1].lease:
                awaited = waiting[-1].lease, self._steady()
            await asyncio.sleep(_POLL)

    @asynccontextmanager
    async def held(self, secret: bytes, holder: bytes) -> AsyncIterator[None]:
        """Keep the lease for as long as the block takes.

        The upstream may have spent the refresh token long before the last answer is here and saved.
        If another process sent it again meanwhile, the login would end.
        """
        over = asyncio.Event()
        prolonging = asyncio.create_task(self._prolong(secret, holder, over))
        try:
            yield
        finally:
            over.set()
            await prolonging

    async def release(self, secret: bytes, holder: bytes) -> None:
        """The upstream did not answer: the next process may ask at once."""
        await self._grants.change(secret, _if_active(lambda grant: lease.release(grant, holder)))

    async def _prolong(self, secret: bytes, holder: bytes, over: asyncio.Event) -> None:
        duration = self._lifetimes.lease

        def prolonged(grant: Active) -> Keep | Write:
            return lease.prolong(grant, holder, now=int(self._clock()), duration=duration)

        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(duration / 3):
                    await over.wait()
                return
            with suppress(StoreError):  # the next time, or the write of what was answered
                await self._grants.change(secret, _if_active(prolonged))


def _if_active(change: Callable[[Active], Keep | Write]) -> Decide:
    def decision(grant: Grant) -> Decision:
        return change(grant) if isinstance(grant, Active) else Refuse(Reason.REVOKED)

    return decision
