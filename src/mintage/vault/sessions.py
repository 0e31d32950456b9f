"""The sessions of browsers: grants that no client redeems or refreshes."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from mintage.errors import StoreUnavailable, UpstreamMisbehaved, UpstreamUnavailable
from mintage.grants import browser_sessions, handles
from mintage.grants.browser_sessions import begun
from mintage.grants.handles import Handle
from mintage.grants.states import Active, Consent, Grant, UpstreamTokens
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.listing import Listing
from mintage.vault.outage import Outage
from mintage.vault.renewal import Renewal
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import Lifetimes, Listed, OpenGrant, Refused, Summary


class Sessions:
    """Begins and uses sessions. ``vault.sessions`` is one.

    *authenticate*: finds a live grant, in memory or in the store.
    """

    def __init__(
        self,
        grants: StoredGrants,
        renewal: Renewal,
        listing: Listing,
        *,
        clock: Clock,
        random_bytes: RandomBytes,
        lifetimes: Lifetimes,
        max_grants: int,
        outage: Outage,
        authenticate: Callable[[Handle], Awaitable[OpenGrant | Refused]],
    ) -> None:
        self._grants = grants
        self._renewal = renewal
        self._listing = listing
        self._clock = clock
        self._random_bytes = random_bytes
        self._lifetimes = lifetimes
        self._max_grants = max_grants
        self._outage = outage
        self._authenticate = authenticate

    async def begin(self, login: Consent, upstream: UpstreamTokens) -> bytes:
        """Store the session of a finished login. Returns its secret.

        Raises `UpstreamRefused` if the user has logged out at the provider since the login.
        """
        secret = self._random_bytes(handles.SECRET_BYTES)
        order = await self._listing.next_order(login)
        session = begun(replace(login, order=order), upstream)
        await self._grants.insert(secret, session, self._lifetimes.end_of(session))
        await self._listing.make_room(login, limit=self._max_grants)
        return secret

    async def use(
        self, secret: bytes, client_id: ClientId, *, counts: bool = True
    ) -> OpenGrant | Refused:
        """The session of *secret*, if it is one of *client_id* and has not ended.

        *counts*: whether the user is there, so that its idle time begins anew. That is written down
        once in a while. The upstream is asked then whether the user may stay, if its token is about
        to end. Raises `StoreUnavailable`, `UpstreamUnavailable` or `UpstreamMisbehaved` if that is
        unknown, and was so for as long as an access token is valid.
        """
        found = await self._authenticate(Handle(secret, 0, "access"))
        if isinstance(found, Refused):
            return found
        outcome = self._decision(found.grant, client_id)
        if isinstance(outcome, Refuse):
            return Refused(outcome.reason)
        if isinstance(outcome, Keep) or not counts:
            return found
        age = self._now() - found.grant.rotated_at
        return await self._note(found, client_id, may_wait=age < self._lifetimes.access)

    def end_of(self, grant: Active) -> int:
        """When a session ends if it is not used any more, in seconds since the epoch."""
        return self._lifetimes.end_of(grant)

    async def forget(self, secret: bytes) -> None:
        """End a session in whose place another begins.

        The provider is not told: it may end the user's other logins here with this one.
        """
        found = await self._authenticate(Handle(secret, 0, "access"))
        if isinstance(found, Refused):
            return  # it has ended before
        who = Summary.of(found.grant)
        former = Listed(handles.store_key(secret), who, self.end_of(found.grant), b"", b"")
        await self._listing.remove(former, by="user", reason="signed_in_again")

    async def _note(
        self, found: OpenGrant, client_id: ClientId, *, may_wait: bool
    ) -> OpenGrant | Refused:
        """Write down that *found* is in use."""
        if may_wait and self._outage.is_resting():
            return found

        def decision(grant: Grant) -> Keep | Write | Refuse:
            return self._decision(grant, client_id)

        try:
            stored = await self._grants.load_patiently(found.secret)
            return await self._renewal.rotate(found.secret, decision, stored)
        except (StoreUnavailable, UpstreamUnavailable, UpstreamMisbehaved):
            if not may_wait:
                raise
            return found

    def _decision(self, grant: Grant, client_id: ClientId) -> Keep | Write | Refuse:
        limits = self._lifetimes.browser
        return browser_sessions.used(grant, client_id, now=self._now(), limits=limits)

    def _now(self) -> int:
        return int(self._clock())
