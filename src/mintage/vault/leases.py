"""Leases in records: one process at a time asks the upstream."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
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

    def held(self, secret: bytes, holder: bytes) -> "Held":
        """Keep the lease for as long as the block takes.

        The upstream may have spent the refresh token long before the last answer is here and saved.
        If another process sent it again meanwhile, the login would end.
        """
        duration = self._lifetimes.lease

        def prolonged(grant: Active) -> Keep | Write:
            return lease.prolong(grant, holder, now=int(self._clock()), duration=duration)

        async def prolong() -> None:
            await self._grants.change(secret, _if_active(prolonged))

        return Held(prolong, every=duration / 3)

    async def release(self, secret: bytes, holder: bytes) -> None:
        """The upstream did not answer: the next process may ask at once."""
        await self._grants.change(secret, _if_active(lambda grant: lease.release(grant, holder)))


class Held:
    """Prolongs a lease again and again, *every* so many seconds, until the block ends.

    Hardly any request to a provider takes so long, so the first pause is a timer and no task.
    """

    def __init__(self, prolong: Callable[[], Awaitable[None]], *, every: float) -> None:
        self._prolong = prolong
        self._every = every
        self._is_over = False
        self._under_way: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._wait()

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        self._timer.cancel()
        if self._under_way is not None:
            await self._under_way

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._begin)

    def _begin(self) -> None:
        self._under_way = asyncio.create_task(self._once())

    async def _once(self) -> None:
        with suppress(StoreError):  # the next time, or the write of what was answered
            await self._prolong()
        if not self._is_over:
            self._wait()


def _if_active(change: Callable[[Active], Keep | Write]) -> Decide:
    def decision(grant: Grant) -> Decision:
        return change(grant) if isinstance(grant, Active) else Refuse(Reason.REVOKED)

    return decision
