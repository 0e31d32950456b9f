"""Finds the live grant of an access token: in memory while it is fresh there, or in the store."""

import asyncio
from typing import Final

from mintage.concurrency.single_flight import SingleFlight
from mintage.errors import StoreUnavailable
from mintage.grants import handles
from mintage.grants.handles import Handle
from mintage.grants.states import Active, Grant, Pending, Reason
from mintage.values import Clock
from mintage.vault.admission import Admission
from mintage.vault.cache import GrantCache
from mintage.vault.outage import Outage
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import CLOCK_LEEWAY, Lifetimes, OpenGrant, Refused

_SLOW: Final = 1.0  # seconds


class InMemory:
    """What this process knows of grants: its cache, and the loads that fill it."""

    def __init__(self, cache: GrantCache) -> None:
        self.cache = cache
        self.loads: SingleFlight[Grant | None] = SingleFlight()

    def changed(self, key: bytes) -> None:
        """Drop the grant under *key*, and join no load that may have seen it before."""
        self.cache.drop(key)
        self.loads.forget(key)

    def anything_changed(self) -> None:
        """Trust no grant in memory before it is read again."""
        self.cache.doubt()
        self.loads.forget_all()


class LiveGrants:
    """``vault.live`` is one."""

    def __init__(
        self,
        grants: StoredGrants,
        memory: InMemory,
        admission: Admission,
        *,
        clock: Clock,
        lifetimes: Lifetimes,
        outage: Outage,
    ) -> None:
        self._grants = grants
        self._cache = memory.cache
        self._loads = memory.loads
        self._admission = admission
        self._clock = clock
        self._lifetimes = lifetimes
        self._outage = outage
        self.fresh = memory.cache.get
        """The live grant under a store key, if it is cached and still fresh."""

    async def authenticate(self, handle: Handle) -> OpenGrant | Refused:
        """The live grant of an access token, from the cache while that is fresh.

        One whose absolute lifetime is over is refused. Its client's next refresh ends it.
        """
        key = handles.store_key(handle.secret)
        grant = self._cache.get(key)
        if grant is None:
            found = await self._look_up(key, handle.secret)
            if found is None:
                return Refused(Reason.UNKNOWN)
            if not isinstance(found, Active):
                revoked = not isinstance(found, Pending)
                return Refused(Reason.REVOKED if revoked else Reason.NOT_ACTIVE)
            grant = found
        if self._clock() >= self._lifetimes.ends_at(grant) + CLOCK_LEEWAY:
            return Refused(Reason.SESSION_OVER)
        return OpenGrant(handle.secret, grant)

    def fresh_for(self, key: bytes) -> float:
        """For how many seconds the grant under store key *key* need not be read again."""
        return self._cache.fresh_for(key)

    def look_again(self, key: bytes) -> None:
        """Read the grant under store key *key* from the store when it is next needed."""
        self._cache.age(key)

    def judge_again(self) -> None:
        """The rules have changed: each grant is judged by the new ones before its next use."""
        self._cache.drop_unless(self._admission.admits)

    async def _look_up(self, key: bytes, secret: bytes) -> Grant | None:
        """The grant as the store has it; if the store does not answer, as it was last known.

        A caller that has a last known grant does not wait for a slow store.
        """
        last_known = self._cache.last_known(key)
        if last_known is not None and self._outage.is_resting():
            return last_known
        flight = self._loads.start(key, lambda: self._load_cached(key, secret))
        if last_known is not None:
            done, _ = await asyncio.wait({flight}, timeout=_SLOW)
            if not done:
                self._outage.failed()
            if not done or isinstance(flight.exception(), StoreUnavailable):
                return last_known
        return await asyncio.shield(flight)

    async def _load_cached(self, key: bytes, secret: bytes) -> Grant | None:
        if self._outage.is_resting():
            raise StoreUnavailable("the store did not answer a moment ago")
        ticket = self._cache.ticket(key)
        try:
            found = await self._grants.load(secret)
        except StoreUnavailable:
            self._cache.give_back(key, ticket)
            raise
        if found is not None and self._admission.turned_away(found[1]) is not None:
            await self._admission.turn_away(secret)
            found = await self._grants.load(secret)
        grant = None if found is None else found[1]
        if isinstance(grant, Active):
            self._cache.put(key, OpenGrant(secret, grant), ticket)
        else:
            self._cache.drop(key)
        return grant
