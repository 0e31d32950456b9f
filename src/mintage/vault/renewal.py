"""Renews upstream tokens: one process asks once, and the answer is saved in any case."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from mintage.concurrency import backoff
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.concurrency.single_flight import SingleFlight
from mintage.errors import (
    NotAdmitted,
    StoreUnavailable,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.events.event import Emit, ignore
from mintage.events.grants import RenewalRefused, RenewalUnknown, UpstreamRenewed
from mintage.grants import handles, lease, states, transitions
from mintage.grants.lease import Renewed
from mintage.grants.parties import party_of
from mintage.grants.states import Active, Grant, Reason, UpstreamTokens
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.values import Clock, RandomBytes
from mintage.vault.leases import Leases
from mintage.vault.stored_grants import Found, StoredGrants
from mintage.vault.values import Decide, Decision, Lifetimes, OpenGrant, Refused, Renew

log = logging.getLogger("mintage.vault")

_SAVE_REPEATS: Final = 8
_FIRST_SAVE_PAUSE: Final = 0.08  # seconds before the first; all together are 15 on the average
_LONGEST_SAVE_PAUSE: Final = 10.0
_COOL_DOWN: Final = 3.0  # seconds without asking an upstream that has just failed
_LONG_COOL_DOWN: Final = 60.0  # at most, if the upstream says how long and no caller waits
_MAX_FAILURES: Final = 1000


class Rotation(msgspec.Struct):
    """A refresh that is written together with the renewed tokens that it waits for.

    *settled*: whether it was, and the outcome of the renewal is its own. Otherwise it still has to
    be done: another caller began the renewal, or the rotation and the new tokens need a write each.
    """

    decide: Decide
    is_awaited: bool = True
    settled: bool = False

    def of(self, renewed: Active) -> Write | None:
        """What to write for a grant with *renewed* tokens; None: only those, the rotation later."""
        if not self.is_awaited:  # a new token that no client gets would end the login later
            return None
        with suppress(Exception):  # the refresh raises it again: the tokens are safe then
            outcome = self.decide(renewed)
            return outcome if isinstance(outcome, Write) else None
        return None


class Renewal:
    """Renews the upstream tokens of grants.

    *renew* asks the provider. *knows*: whether the provider of tokens is configured.
    """

    def __init__(
        self,
        grants: StoredGrants,
        *,
        clock: Clock,
        steady: Clock,
        random_bytes: RandomBytes,
        lifetimes: Lifetimes,
        renew: Renew,
        knows: Callable[[UpstreamTokens], bool],
        emit: Emit = ignore,
    ) -> None:
        self._grants = grants
        self._ask = renew
        self._knows = knows
        self._emit = emit
        self._clock = clock
        self._steady = steady
        self._random_bytes = random_bytes
        self._lifetimes = lifetimes
        self._leases = Leases(grants, clock=clock, steady=steady, lifetimes=lifetimes)
        self._flights: SingleFlight[OpenGrant | Refused] = SingleFlight()
        self._failures: BoundedMemory[
            bytes, tuple[float, UpstreamUnavailable | UpstreamMisbehaved]
        ] = BoundedMemory(_MAX_FAILURES)

    def at_hand(self, grant: Active) -> UpstreamTokens | None:
        """The tokens of *grant*, if `fresh` would return them without a question to anybody."""
        tokens, now = grant.upstream, self._now()
        if (
            tokens is None
            or lease.is_due(tokens, now=now, margin=self._lifetimes.upstream_margin)
            or lease.is_overdue(grant, now=now, limit=self._lifetimes.unanswered)
            or not self._knows(tokens)
        ):
            return None
        return tokens

    async def fresh(
        self, opened: OpenGrant, *, found: Found | None = None, rotation: Rotation | None = None
    ) -> OpenGrant | Refused:
        """*opened* with an upstream token that is valid for a while; unchanged if it has none.

        One process asks once for all callers. While the old token is still valid nobody waits: it
        is renewed in the background. But if the provider ends the old token when it issues the new
        one, all callers wait for the new one. Raises `UpstreamUnavailable` or `UpstreamMisbehaved`
        if the token has expired and no new one can be obtained, if the provider has not said for
        too long who the user is, and if it is not configured.

        *found*: the grant, if it was just read. *rotation*: written with the new tokens if this
        caller waits for them and is the one for whom they are requested.
        """
        tokens, now = opened.grant.upstream, self._now()
        bound = states.bound_tokens(opened.grant)
        if tokens is None or bound is None:
            return opened
        self._check_provider(tokens)
        if not lease.is_due(tokens, now=now, margin=self._lifetimes.upstream_margin):
            return self._not_overdue(opened)
        # Grants of earlier versions are bound here, before anything is sent for the first time.
        self._check_provider(bound)
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
        if not expired and not tokens.replaced:
            self._flights.start(key, lambda: self._renew(opened.secret))
            return self._not_overdue(opened)
        flight = self._flights.start(key, lambda: self._renew(opened.secret, found, rotation))
        try:
            outcome = await _outcome_of(flight, rotation)
        except (UpstreamUnavailable, UpstreamMisbehaved):
            if not may_go_on:
                raise
            outcome = opened
        return outcome if isinstance(outcome, Refused) else self._not_overdue(outcome)

    async def rotate(
        self, secret: bytes, decide: Decide, found: Found | None
    ) -> OpenGrant | Refused:
        """Do what *decide* says, and ask the upstream before a write if its token is about to end.

        The new tokens and the write of *decide* are then one. *found*: the grant, which was just
        read. Raises as `fresh` does; nothing has changed then.
        """
        outcome = None if found is None else decide(found[1])
        if isinstance(outcome, Write) and self._must_look(outcome.grant):
            opened, rotation = OpenGrant(secret, outcome.grant), Rotation(decide)
            renewed = await self.fresh(opened, found=found, rotation=rotation)
            if rotation.settled or isinstance(renewed, Refused):
                return renewed
            outcome = None  # time has passed
            if renewed is not opened:
                found = None  # it has been written since
        return await self._grants.change(secret, decide, found=found, decided=outcome)

    def _must_look(self, grant: Active) -> bool:
        """Whether `fresh` would do more than return *grant* as it is."""
        return grant.upstream is not None and self.at_hand(grant) is None

    def _check_provider(self, tokens: UpstreamTokens) -> None:
        """Send nothing to a provider that was removed or replaced by another.

        It may have been removed by mistake, so its logins do not end.
        """
        if not self._knows(tokens):
            named = tokens.provider or tokens.issuer
            raise UpstreamUnavailable(f"the provider of this login is not configured: {named}")

    def _not_overdue(self, opened: OpenGrant) -> OpenGrant:
        """*opened*, unless the upstream has not answered about the user for too long."""
        if self._is_overdue(opened.grant):
            limit = self._lifetimes.unanswered
            raise UpstreamUnavailable(
                f"the provider has not said for {limit} seconds whether this user may still log in",
                retry_after=lease.ASK_AGAIN,
            )
        return opened

    def _is_overdue(self, grant: Active) -> bool:
        return lease.is_overdue(grant, now=self._now(), limit=self._lifetimes.unanswered)

    @property
    def paused(self) -> int:
        """For how many grants the provider failed a moment ago, so that it is not asked again."""
        now = self._steady()
        return sum(now < until for until, _ in self._failures.values())

    async def drain(self) -> None:
        """Wait for renewals under way: what the upstream issues must be saved."""
        await self._flights.drain()

    async def settle(self) -> None:
        """Wait for the renewals that are under way now, and not for those that begin meanwhile."""
        await self._flights.settle()

    async def _renew(
        self, secret: bytes, found: Found | None = None, rotation: Rotation | None = None
    ) -> OpenGrant | Refused:
        """Ask the upstream under a lease, so that only one process asks."""
        holder = self._random_bytes(8)
        leased = await self._leases.take(secret, holder, found)
        if isinstance(leased, Refused) or leased.grant.lease is None:
            return leased
        async with self._leases.held(secret, holder):
            return await self._renew_now(secret, holder, leased, rotation)

    async def _renew_now(
        self, secret: bytes, holder: bytes, leased: OpenGrant, rotation: Rotation | None
    ) -> OpenGrant | Refused:
        """Ask the upstream, and save its answer."""
        key = handles.store_key(secret)
        party = party_of(leased.grant, key)
        tokens, bound = leased.grant.upstream, states.bound_tokens(leased.grant)
        if tokens is None or bound is None:
            return leased
        try:
            outcome = await self._ask(bound, leased.grant.login.identity)
        except UpstreamRefused as refusal:
            reason, why = Reason.UPSTREAM_REFUSED, refusal.error
            if isinstance(refusal, NotAdmitted):
                reason, why = Reason.NOT_ADMITTED, str(refusal)
            self._emit(RenewalRefused(party=party, reason=why))
            log.info("grant %s: upstream refused: %s", handles.grant_id(key), why)
            return await self._end(secret, reason, tokens)
        except (UpstreamUnavailable, UpstreamMisbehaved) as failure:
            self._remember_failure(key, leased.grant, failure)
            down = isinstance(failure, UpstreamUnavailable)
            self._emit(RenewalUnknown(party=party, reason="unavailable" if down else "misbehaved"))
            await self._leases.release(secret, holder)
            raise
        self._emit(UpstreamRenewed(party=party))
        return await self._save(secret, outcome, rotation)

    async def _save(
        self, secret: bytes, outcome: Renewed, rotation: Rotation | None
    ) -> OpenGrant | Refused:
        """Save what the upstream issued, also through an outage of the store.

        Its old refresh token is spent, so giving up early would cost the user the login. It is
        saved whatever happens to *rotation*, which goes into the same write if it can.
        """
        now, together = self._now(), False

        def decision(grant: Grant) -> Decision:
            nonlocal together
            together = False
            if not isinstance(grant, Active):
                return Refuse(Reason.REVOKED)
            fresh = lease.renewed(grant, outcome, now=now)
            if rotation is not None and not self._is_overdue(fresh):
                rotated = rotation.of(fresh)
                if rotated is not None:
                    together = True
                    return rotated
            return Keep(grant) if fresh == grant else Write(fresh)  # written before

        for failures in range(_SAVE_REPEATS + 1):
            try:
                saved = await self._grants.change(secret, decision, orphan=outcome.tokens)
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
            else:
                if rotation is not None:
                    rotation.settled = together
                return saved
        raise AssertionError("unreachable")

    async def _end(
        self, secret: bytes, reason: Reason, tokens: UpstreamTokens
    ) -> OpenGrant | Refused:
        """End the grant because of *tokens*. If it has others now, it continues with those.

        A slow leaseholder may be refused only because another came after it.
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


async def _outcome_of(
    flight: asyncio.Task[OpenGrant | Refused], rotation: Rotation | None
) -> OpenGrant | Refused:
    """The result of *flight*. It continues if its caller is cancelled, and *rotation* ends."""
    try:
        return await asyncio.shield(flight)
    except asyncio.CancelledError:
        if rotation is not None:
            rotation.is_awaited = False
        raise
