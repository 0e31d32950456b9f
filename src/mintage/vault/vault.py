"""The vault: its parts on one store, and the steps of a client's grant: code, tokens, refresh.

It has no HTTP. `ProviderCalls` ask the upstream for new tokens, and report the tokens that the
upstream is to revoke.
"""

import logging
from collections.abc import Awaitable
from functools import partial

import msgspec

from mintage.concurrency.single_flight import SingleFlight
from mintage.events.event import Emit, ignore
from mintage.grants import handles, transitions
from mintage.grants.handles import Handle
from mintage.grants.states import Active, Consent, Grant, Pending, Revoked, UpstreamTokens
from mintage.grants.transitions import Keep, Redemption, Refreshment, Write
from mintage.stores.protocol import EVERYTHING, Store
from mintage.values import ClientId
from mintage.vault.admission import Admission
from mintage.vault.cache import GrantCache
from mintage.vault.codec import GrantCodec
from mintage.vault.consents import Consents
from mintage.vault.device_grants import DeviceGrants
from mintage.vault.device_requests import DeviceRequests
from mintage.vault.direct_grants import DirectGrants
from mintage.vault.listing import Listing
from mintage.vault.live_grants import InMemory, LiveGrants
from mintage.vault.names import GrantNames
from mintage.vault.numbering import Numbering
from mintage.vault.outage import Outage
from mintage.vault.provider_sessions import ProviderSessions
from mintage.vault.renewal import Renewal
from mintage.vault.revocation import Revocation
from mintage.vault.rotations import Rotations
from mintage.vault.sessions import Sessions
from mintage.vault.settings import ProviderCalls, VaultSettings
from mintage.vault.single_use import SingleUse
from mintage.vault.status_slots import StatusSlots
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import Condition, Decision, OpenGrant, Prepare, Refused

log = logging.getLogger("mintage.vault")


def no_answer(opened: OpenGrant) -> None:
    """For callers that only need the grant: nothing has to be prepared before the write."""


class Vault:
    """*calls* reach the providers. *cache*: None: one with the defaults.

    *emit* gets the security events. *status*: the status list; None: there is none.
    """

    def __init__(
        self,
        store: Store,
        settings: VaultSettings,
        calls: ProviderCalls,
        *,
        cache: GrantCache | None = None,
        emit: Emit = ignore,
        status: StatusSlots | None = None,
    ) -> None:
        clock, steady, keys = settings.clock, settings.steady, settings.keys
        random_bytes, lifetimes = settings.random_bytes, settings.lifetimes
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._max_grants = settings.max_grants
        self.lifetimes = lifetimes
        self.status = status
        self._outage = Outage(clock=steady)
        self._memory = InMemory(cache or GrantCache(clock=steady))
        names = GrantNames(keys, random_bytes)
        provider_sessions = ProviderSessions(
            store, keys, clock=clock, lifetime=lifetimes.longest, random_bytes=random_bytes
        )
        self._grants = StoredGrants(
            store,
            GrantCodec(keys, random_bytes),
            names,
            clock=clock,
            lifetimes=lifetimes,
            changed=self._memory.changed,
            report=calls.ended,
            tells=calls.tells,
            outage=self._outage,
            emit=emit,
            join=provider_sessions.join,
            status=status,
        )
        self.ended = self._grants.ended
        self._settling: SingleFlight[None] = SingleFlight()
        self._rotations = Rotations(steady)
        self._admission = Admission(self._grants, calls.admits, clock)
        self._renewal = Renewal(
            self._grants,
            clock=clock,
            steady=steady,
            random_bytes=random_bytes,
            lifetimes=lifetimes,
            renew=calls.renew,
            knows=calls.knows,
            emit=emit,
        )
        self.consents = Consents(store, keys, random_bytes)
        self.single_use = SingleUse(store, self._grants, random_bytes)
        self.live = LiveGrants(
            self._grants,
            self._memory,
            self._admission,
            clock=clock,
            lifetimes=lifetimes,
            outage=self._outage,
        )
        self.listing = Listing(
            store,
            names,
            self.ended,
            changed=self._memory.changed,
            emit=emit,
            status=status,
        )
        self.revocation = Revocation(
            self._grants, self.listing, self._memory.cache, provider_sessions, clock
        )
        self.sessions = Sessions(
            self._grants,
            self._renewal,
            self.listing,
            clock=clock,
            random_bytes=random_bytes,
            lifetimes=lifetimes,
            max_grants=settings.max_grants,
            outage=self._outage,
            authenticate=self.live.authenticate,
        )
        self.devices = DeviceGrants(
            self._grants,
            self.listing,
            DeviceRequests(store, keys, random_bytes),
            clock=clock,
            lifetimes=lifetimes,
            max_grants=settings.max_grants,
            turned_away=self._admission.turned_away,
            numbering=self._numbering,
        )
        self.direct = DirectGrants(
            self._grants,
            random_bytes=random_bytes,
            lifetimes=lifetimes,
            claim=self.single_use.claim,
            is_claimed=self.single_use.is_claimed,
            numbering=self._numbering,
        )

    async def create(
        self,
        login: Consent,
        upstream: UpstreamTokens,
        *,
        code_challenge: str,
        redirect_uri: str,
        jkt: str | None = None,
    ) -> str:
        """Store a finished login. Returns the authorization code that opens it.

        *jkt*: the thumbprint of the key that must redeem the code; None: the request named none.
        Raises `UpstreamRefused` if the user has logged out at the provider since it began.
        """
        raw = self._random_bytes(handles.CODE_BYTES)
        secret = raw[: handles.SECRET_BYTES]
        expires_at = self._now() + self.lifetimes.code
        order = await self.listing.next_order(login)
        pending = Pending(
            login=msgspec.structs.replace(login, order=order),
            upstream=upstream,
            code_hash=handles.code_hash(raw),
            code_challenge=code_challenge,
            redirect_uri=redirect_uri,
            code_expires_at=expires_at,
            jkt=jkt,
        )
        await self._grants.insert(secret, pending, expires_at)
        await self.listing.make_room(login, limit=self._max_grants)
        return handles.make_code(raw)

    async def redeem(
        self, secret: bytes, request: Redemption, prepare: Prepare = no_answer
    ) -> OpenGrant | Refused:
        """Redeem a code (RFC 6749 §4.1.3). Of any number of callers, one opens the grant.

        *secret* is the grant's, from the code. *prepare* is called before the write; if it raises,
        the code is not spent.
        """
        async with self._numbering() as number:

            def decision(grant: Grant) -> Decision:
                outcome = transitions.redeem(grant, request, now=self._now())
                return _prepared(number(outcome), secret, prepare)

            return await self._grants.change(secret, decision)

    def rotate(
        self, secret: bytes, request: Refreshment, prepare: Prepare = no_answer
    ) -> Awaitable[OpenGrant | Refused]:
        """Use a refresh token (RFC 6749 §6).

        *secret* is the grant's, from the token. *prepare* is called before the upstream is asked
        and before the write; if it raises, nothing has changed.

        The upstream is asked first if its own token is about to end, so a user who was locked out
        there is locked out here at the next refresh. The new tokens and the rotation are then one
        write. Raises `UpstreamUnavailable` or `UpstreamMisbehaved` if the upstream must be asked
        and can't be: nothing has changed then.
        """
        if self.status is None:  # as mostly: there are no numbers
            return self._rotate(secret, request, prepare, None)
        return self._rotate_numbered(secret, request, prepare)

    async def _rotate_numbered(
        self, secret: bytes, request: Refreshment, prepare: Prepare
    ) -> OpenGrant | Refused:
        async with self._numbering() as number:
            return await self._rotate(secret, request, prepare, number)

    def _numbering(self) -> Numbering:
        return Numbering(self.status, self.lifetimes, self._clock)

    async def _rotate(
        self, secret: bytes, request: Refreshment, prepare: Prepare, number: Numbering | None
    ) -> OpenGrant | Refused:
        key = handles.store_key(secret)
        last: Decision | None = None

        def decision(grant: Grant) -> Decision:
            nonlocal last
            if (turned_away := self._admission.turned_away(grant)) is not None:
                return turned_away
            outcome = transitions.refresh(
                grant,
                request,
                now=self._now(),
                grace=self.lifetimes.grace,
                age=self._rotations.age(key, grant),
                session=self.lifetimes.session,
                idle=self.lifetimes.idle,
            )
            if number is not None:
                outcome = number(outcome)
            last = outcome
            return _prepared(outcome, secret, prepare)

        found = await self._grants.load_patiently(secret)
        if found and isinstance(found[1], Active) and request.generation > found[1].generation:
            _store_is_behind(key, request, found[1])
        rotated = await self._renewal.rotate(secret, decision, found)
        if isinstance(rotated, OpenGrant):
            if isinstance(last, Keep):
                return msgspec.structs.replace(rotated, repeated=True)
            if isinstance(last, Write) and rotated.grant is last.grant:
                self._rotations.note(key, rotated.grant)
        return rotated

    async def holds(self, secret: bytes, client_id: ClientId) -> bool:
        """Whether *secret* opens a grant of *client_id* that has not ended."""
        found = await self._grants.load_patiently(secret)
        if found is None or isinstance(found[1], Revoked):
            return False
        return found[1].login.client_id == client_id

    async def check_secrets(self, handle: Handle | None) -> None:
        """Raise `SecretMissing` if the grant that *handle* names needs a secret that is not here.

        Call it for tokens whose key is unknown: if a missing secret signed the token, it is unknown
        whether the token is valid. *handle* None: nothing to check.
        """
        if handle is not None:
            await self._grants.check_secrets(handle.secret)

    async def watch(self) -> None:
        """Drop from the cache what other processes change. It runs until it is cancelled.

        If another process ended a grant, what was made from it here is forgotten, as far as the
        store answers. If that process could not decrypt it, and it is in this cache, its upstream
        tokens are reported.
        """
        self._memory.anything_changed()  # changes from before it listened
        async for key in self._store.changes():
            if key == EVERYTHING:
                self._memory.anything_changed()
                self.ended.clear_all()
                continue
            secret = self._memory.cache.secret_of(key)
            self._memory.changed(key)
            if secret is not None or self.ended.must_clear(key):  # it may have ended
                self._settling.forget(key)  # that one may have read it before this change
                self._settling.start(key, partial(self._grants.settle, key, secret))

    async def with_fresh_upstream(self, opened: OpenGrant) -> OpenGrant | Refused:
        """*opened* with an upstream token that is valid for a while (see `Renewal.fresh`)."""
        return await self._renewal.fresh(opened)

    def upstream_at_hand(self, opened: OpenGrant) -> UpstreamTokens | None:
        """The provider's tokens of *opened*, if the provider need not be asked for them."""
        return self._renewal.at_hand(opened.grant)

    async def stored_upstream(self, secret: bytes) -> UpstreamTokens | None:
        """The provider's tokens of the live grant of *secret*, with the refresh token."""
        found = await self._grants.load_patiently(secret)
        return found[1].upstream if found and isinstance(found[1], Active) else None

    def condition(self) -> Condition:
        """How it is doing, in numbers."""
        return Condition(
            cached=self._memory.cache.size,
            store_resting=self._outage.is_resting(),
            renewals_paused=self._renewal.paused,
        )

    async def drain(self) -> None:
        """Wait for renewals under way (see `Renewal.drain`), and for what is to be reported."""
        await self._settling.drain()
        await self._renewal.drain()

    async def settle(self) -> None:
        """Wait for the renewals that are under way now."""
        await self._renewal.settle()

    def _now(self) -> int:
        return int(self._clock())


def _store_is_behind(key: bytes, request: Refreshment, grant: Active) -> None:
    log.warning(
        "grant %s: the store knows refresh token %d and the client has number %d, which this "
        "server issued: a backup was restored, a failover lost writes, or an older record was "
        "put back; the client's token is taken",
        handles.grant_id(key),
        grant.generation,
        request.generation,
    )


def _prepared(outcome: Decision, secret: bytes, prepare: Prepare) -> Decision:
    """*outcome*, after *prepare* has made the response for it."""
    if isinstance(outcome, Keep | Write):
        prepare(OpenGrant(secret, outcome.grant))
    return outcome
