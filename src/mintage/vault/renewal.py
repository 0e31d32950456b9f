"""New tokens from the upstream: asked for once, by one process, and saved whatever happens."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from mintage.concurrency import backoff
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.concurrency.single_flight import SingleFlight
from mintage.errors import (
    NotAdmitted,
    StoreError,
    StoreUnavailable,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.grants import handles, lease, states, transitions
from mintage.grants.lease import Renewed, Wait
from mintage.grants.states import Active, Grant, Lease, Reason, UpstreamTokens
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.values import Clock, RandomBytes
from mintage.vault.sealed import SealedGrants
from mintage.vault.values import Decide, Decision, Lifetimes, Opened, Refused, Renew

log = logging.getLogger("mintage.vault")

_LEASE_POLL: Final = 0.05  # seconds between two looks at another process's lease
_SAVE_REPEATS: Final = 8
_FIRST_SAVE_PAUSE: Final = 0.08  # seconds before the first; all together are 15 on the average
_LONGEST_SAVE_PAUSE: Final = 10.0
_COOL_DOWN: Final = 3.0  # seconds without asking an upstream that has just failed
_LONG_COOL_DOWN: Final = 60.0  # at most, where the upstream says how long and nobody waits
_MAX_FAILURES: Final = 1000


class Renewal:
    """Renews the upstream tokens of grants.

    *renew* asks the provider. *knows*: whether the provider of tokens is configured.
    """

    def __init__(
        self,
        grants: SealedGrants,
        *,
        clock: Clock,
        steady: Clock,
        random_bytes: RandomBytes,
        lifetimes: Lifetimes,
        renew: Renew,
        knows: Callable[[UpstreamTokens], bool],
    ) -> None:
        self._grants = grants
        self._ask = renew
        self._knows = knows
        self._clock = clock
        self._steady = steady
        self._random_bytes = random_bytes
        self._lifetimes = lifetimes
        self._flights: SingleFlight[Opened | Refused] = SingleFlight()
        self._failures: BoundedMemory[
            bytes, tuple[float, UpstreamUnavailable | UpstreamMisbehaved]
        ] = BoundedMemory(_MAX_FAILURES)

    async def fresh(self, opened: Opened) -> Opened | Refused:
        """*opened* with an upstream token that is good for a while yet.

        One process asks, once, for all who wait. While the old token still holds nobody
        waits: it is renewed behind their backs. But where the provider ends the old token when
        it gives the new one, everybody waits for the new one. Raises `UpstreamUnavailable` or
        `UpstreamMisbehaved` where it has ended and no new one can be had, where the provider
        has not said for too long who the user is, and where it is not configured.
        """
        tokens, now = opened.grant.upstream, self._now()
        self._check_provider(tokens)
        if not lease.is_due(tokens, now=now, margin=self._lifetimes.upstream_margin):
            return self._not_overdue(opened)
        # Grants of earlier versions are bound here, before anything is sent for the first time.
        self._check_provider(states.bound_tokens(opened.grant))
        key = handles.store_key(opened.secret)
        expired = lease.is_due(tokens, now=now, margin=0)
        if not tokens.renewable:
            if not expired:
                return opened
            return await self._end(opened.secret, Reason.UPSTREAM_EXPIRED, tokens)
        may_go_on = not expired or lease.may_go_on(
            opened.grant, now=now, limit=self._lifetimes.unanswered
        )
        if (failure := self._recent_failure(key)) is not None:
            if not may_go_on:
                raise failure
            return self._not_overdue(opened)
        flight = self._flights.start(key, lambda: self._renew(opened.secret))
        if not expired and not tokens.replaced:
            return self._not_overdue(opened)
        try:
            outcome = await asyncio.shield(flight)
        except (UpstreamUnavailable, UpstreamMisbehaved):
            if not may_go_on:
                raise
            outcome = opened
        return outcome if isinstance(outcome, Refused) else self._not_overdue(outcome)

    def _check_provider(self, tokens: UpstreamTokens) -> None:
        """A provider that was taken out, or replaced by another, is sent nothing of its logins.

        It may have been taken out by mistake: no reason to end them.
        """
        if not self._knows(tokens):
            named = tokens.provider or tokens.issuer
            raise UpstreamUnavailable(f"the provider of this login is not configured: {named}")

    def _not_overdue(self, opened: Opened) -> Opened:
        """*opened*, unless the upstream has been silent about the user for too long."""
        limit = self._lifetimes.unanswered
        if lease.is_overdue(opened.grant, now=self._now(), limit=limit):
            raise UpstreamUnavailable(
                f"the provider has not said for {limit} seconds whether this user may go on",
                retry_after=lease.ASK_AGAIN,
            )
        return opened

    async def drain(self) -> None:
        """Wait for what is under way: what the upstream hands out must be saved."""
        await self._flights.drain()

    async def _renew(self, secret: bytes) -> Opened | Refused:
        """Ask the upstream under a lease, so that of all processes one asks."""
        holder = self._random_bytes(8)
        leased = await self._take_lease(secret, holder)
        if isinstance(leased, Refused) or leased.grant.lease is None:
            return leased
        async with self._held(secret, holder):
            return await self._renew_now(secret, holder, leased)

    async def _renew_now(self, secret: bytes, holder: bytes, leased: Opened) -> Opened | Refused:
        """Ask the upstream, and keep its answer."""
        key = handles.store_key(secret)
        try:
            identity = leased.grant.login.identity
            outcome = await self._ask(states.bound_tokens(leased.grant), identity)
        except UpstreamRefused as refusal:
            reason, why = Reason.UPSTREAM_REFUSED, refusal.error
            if isinstance(refusal, NotAdmitted):
                reason, why = Reason.NOT_ADMITTED, str(refusal)
            log.info("grant %s: upstream refused: %s", handles.grant_id(key), why)
            return await self._end(secret, reason, leased.grant.upstream)
        except (UpstreamUnavailable, UpstreamMisbehaved) as failure:
            self._remember_failure(key, leased.grant, failure)
            await self._grants.change(
                secret, _if_active(lambda grant: lease.release(grant, holder))
            )
            raise
        return await self._save_renewed(secret, outcome)

    @asynccontextmanager
    async def _held(self, secret: bytes, holder: bytes) -> AsyncIterator[None]:
        """The lease goes on for as long as the block takes.

        The upstream may have spent the refresh token long before the last answer is here and
        saved. Whoever sent it again meanwhile would end the login.
        """
        over = asyncio.Event()
        prolonging = asyncio.create_task(self._prolong(secret, holder, over))
        try:
            yield
        finally:
            over.set()
            await prolonging

    async def _prolong(self, secret: bytes, holder: bytes, over: asyncio.Event) -> None:
        duration = self._lifetimes.lease
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(duration / 3):
                    await over.wait()
                return
            with suppress(StoreError):  # the next time, or the write of what was answered
                await self._grants.change(
                    secret,
                    _if_active(
                        lambda grant: lease.prolong(
                            grant, holder, now=self._now(), duration=duration
                        )
                    ),
                )

    async def _save_renewed(self, secret: bytes, outcome: Renewed) -> Opened | Refused:
        """Keep what the upstream gave, through an outage of the store as well.

        Its old refresh token is spent: giving up early would cost the user the login.
        """
        for failures in range(_SAVE_REPEATS + 1):
            try:
                return await self._grants.change(
                    secret,
                    _if_active(lambda grant: Write(lease.renewed(grant, outcome, now=self._now()))),
                    orphan=outcome.tokens,
                )
            except StoreUnavailable:
                if failures == _SAVE_REPEATS:
                    raise
                await asyncio.sleep(
                    backoff.pause(
                        failures,
                        random.random,
                        first=_FIRST_SAVE_PAUSE,
                        most=_LONGEST_SAVE_PAUSE,
                    )
                )
        raise AssertionError("unreachable")

    async def _take_lease(self, secret: bytes, holder: bytes) -> Opened | Refused:
        """The grant leased to *holder*; or without a lease, if another has renewed it.

        Another's lease is waited for as long as one lasts, whatever its end is by our clock; and
        again that long whenever its holder prolongs it.
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
                    now=self._now(),
                    margin=self._lifetimes.upstream_margin,
                    duration=self._lifetimes.lease,
                    overdue=overdue,
                )
                if isinstance(turn, Wait):
                    waiting.append(turn)
                    return Keep(grant)
                return turn

            outcome = await self._grants.change(secret, decision)
            if not waiting:
                return outcome
            if awaited is None or awaited[0] != waiting[-1].lease:
                awaited = waiting[-1].lease, self._steady()
            await asyncio.sleep(_LEASE_POLL)

    async def _end(self, secret: bytes, reason: Reason, tokens: UpstreamTokens) -> Opened | Refused:
        """End the grant because of *tokens*; if it has others by now, it lives on with those.

        A leaseholder that was slow may be refused just because another came after it.
        """

        def decision(grant: Grant) -> Decision:
            if not isinstance(grant, Active):
                return Refuse(Reason.REVOKED)
            if grant.upstream != tokens:
                return Keep(grant)
            return transitions.end(grant, reason, now=self._now())

        return await self._grants.change(secret, decision)

    def _recent_failure(self, key: bytes) -> UpstreamUnavailable | UpstreamMisbehaved | None:
        found = self._failures.get(key)
        if found is None:
            return None
        until, failure = found
        if self._steady() < until:
            return failure
        del self._failures[key]
        return None

    def _remember_failure(
        self, key: bytes, grant: Active, failure: UpstreamUnavailable | UpstreamMisbehaved
    ) -> None:
        pause, limit = _COOL_DOWN, self._lifetimes.unanswered
        goes_on = lease.may_go_on(grant, now=self._now(), limit=limit)
        if goes_on and isinstance(failure, UpstreamUnavailable):
            pause = max(pause, min(failure.retry_after, _LONG_COOL_DOWN))
        self._failures[key] = (self._steady() + pause, failure)

    def _now(self) -> int:
        return int(self._clock())


def _if_active(change: Callable[[Active], Keep | Write]) -> Decide:
    def decision(grant: Grant) -> Decision:
        return change(grant) if isinstance(grant, Active) else Refuse(Reason.REVOKED)

    return decision
