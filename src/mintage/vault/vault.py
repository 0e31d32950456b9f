"""The vault: all operations on stored grants.

It has no HTTP. Two functions that it gets when it is built ask the upstream for new tokens, and
report the tokens that the upstream is to revoke.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.concurrency.single_flight import SingleFlight
from mintage.errors import Exists, StoreUnavailable, UpstreamUnavailable
from mintage.events.event import Emit, ignore
from mintage.events.grants import EndedBy
from mintage.grants import handles, transitions
from mintage.grants.browser_sessions import is_of_browser
from mintage.grants.handles import Handle
from mintage.grants.lease import Renewed
from mintage.grants.lifetimes import ends_at
from mintage.grants.states import (
    Active,
    Consent,
    Grant,
    Identity,
    Pending,
    Reason,
    Revoked,
    UpstreamTokens,
)
from mintage.grants.transitions import Keep, Redemption, Refreshment, Refuse, Revoke, Write
from mintage.stores.protocol import EVERYTHING, Store
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.cache import GrantCache
from mintage.vault.codec import GrantCodec
from mintage.vault.consents import Consents
from mintage.vault.device_grants import DeviceGrants
from mintage.vault.device_requests import DeviceRequests
from mintage.vault.direct_grants import DirectGrants
from mintage.vault.listing import Listing
from mintage.vault.names import GrantNames
from mintage.vault.numbering import Numbering
from mintage.vault.outage import Outage
from mintage.vault.provider_sessions import ProviderSessions
from mintage.vault.renewal import Renewal
from mintage.vault.rotations import Rotations
from mintage.vault.sessions import Sessions
from mintage.vault.status_slots import StatusSlots
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import (
    CLOCK_LEEWAY,
    Condition,
    Decision,
    Lifetimes,
    Listed,
    OpenGrant,
    Prepare,
    Refused,
    Renew,
    ReportEnded,
    VaultKeys,
)

log = logging.getLogger("mintage.vault")

DEFAULT_MAX_GRANTS: Final = 20
_CLAIM_BYTES: Final = 8
_MAX_UNSURE: Final = 10_000
_SLOW: Final = 1.0  # seconds


def forget(_: UpstreamTokens) -> None:
    """For `Vault`'s *ended*: upstream tokens without a grant stay valid until they expire."""


async def ask_nobody(_: UpstreamTokens, __: Identity) -> Renewed:
    """For `Vault`'s *renew*, in a process that opens no connection to a provider."""
    raise UpstreamUnavailable("this process asks no identity provider")


def no_answer(opened: OpenGrant) -> None:
    """For callers that only need the grant: nothing has to be prepared before the write."""


class Vault:
    """*keys* encrypt, *former_keys* only decrypt; *listing* lists grants.

    *clock* is the time of day, *steady* a clock that cannot be set, for pauses and caches (None:
    *clock*). *max_grants*: how many grants one user may have at one client; a new one ends the
    oldest. *renew* asks the provider for new tokens; see `Renew`. *ended* gets the upstream tokens
    of each grant that ends, and those that came when their grant had ended; see `ReportEnded`.
    *knows*: whether the provider that issued upstream tokens is configured; no other provider gets
    them. *admits*: whether the rules, as they are now, let a user in. *emit* gets the security
    events. *status*: the status list; None: there is none.
    """

    def __init__(
        self,
        store: Store,
        keys: VaultKeys,
        *,
        clock: Clock,
        steady: Clock | None = None,
        random_bytes: RandomBytes,
        renew: Renew,
        ended: ReportEnded,
        lifetimes: Lifetimes | None = None,
        cache: GrantCache | None = None,
        former_keys: Sequence[VaultKeys] = (),
        max_grants: int = DEFAULT_MAX_GRANTS,
        knows: Callable[[UpstreamTokens], bool] = lambda _: True,
        admits: Callable[[Identity], bool] = lambda _: True,
        emit: Emit = ignore,
        status: StatusSlots | None = None,
    ) -> None:
        self._store = store
        self.status = status
        self._clock = clock
        self._random_bytes = random_bytes
        self._lifetimes = lifetimes or Lifetimes()
        steady = steady or clock
        self._cache = cache or GrantCache(clock=steady)
        self._loads: SingleFlight[Grant | None] = SingleFlight()
        self._outage = Outage(clock=steady)
        names = GrantNames((keys, *former_keys), random_bytes)
        self._provider_sessions = ProviderSessions(
            store,
            (keys, *former_keys),
            clock=clock,
            lifetime=self._lifetimes.longest,
            random_bytes=random_bytes,
        )
        self._grants = StoredGrants(
            store,
            GrantCodec((keys, *former_keys), random_bytes),
            names,
            clock=clock,
            lifetimes=self._lifetimes,
            changed=self._changed,
            report=ended,
            tells=ended is not forget,
            outage=self._outage,
            emit=emit,
            join=self._provider_sessions.join,
            status=status,
        )
        self._settling: SingleFlight[None] = SingleFlight()
        self._rotations = Rotations(steady)
        self._unsure_claims: BoundedMemory[bytes, bytes] = BoundedMemory(_MAX_UNSURE)
        self._max_grants = max_grants
        self._admits = admits
        self.consents = Consents(store, (keys, *former_keys), random_bytes)
        self.listing = Listing(
            store, names, self._grants.ended, changed=self._changed, emit=emit, status=status
        )
        self._renewal = Renewal(
            self._grants,
            clock=clock,
            steady=steady,
            random_bytes=random_bytes,
            lifetimes=self._lifetimes,
            renew=renew,
            knows=knows,
            emit=emit,
        )
        self.sessions = Sessions(
            self._grants,
            self._renewal,
            self.listing,
            clock=clock,
            random_bytes=random_bytes,
            lifetimes=self._lifetimes,
            max_grants=max_grants,
            outage=self._outage,
            authenticate=self.authenticate,
        )
        self.devices = DeviceGrants(
            self._grants,
            self.listing,
            DeviceRequests(store, (keys, *former_keys), random_bytes),
            clock=clock,
            lifetimes=self._lifetimes,
            max_grants=max_grants,
            turned_away=self._turned_away,
            numbering=self._numbering,
        )
        self.direct = DirectGrants(
            self._grants,
            random_bytes=random_bytes,
            lifetimes=self._lifetimes,
            claim=self.claim,
            is_claimed=self.is_claimed,
            numbering=self._numbering,
        )

    async def claim(self, name: bytes, *, expires_at: int) -> bool:
        """Claim *name* until *expires_at*. Returns whether it was free.

        If the store failed and may have written the claim, the next call for *name* in this process
        finds out, and the claim is that call's.
        """
        key, record = _claim_key(name), self._random_bytes(_CLAIM_BYTES)
        try:
            await self._grants.insert_once(key, record, None, expires_at)
        except Exists:
            return await self._is_unsure_claim(key)
        except StoreUnavailable:
            self._unsure_claims[key] = record
            raise
        return True

    async def _is_unsure_claim(self, key: bytes) -> bool:
        """Whether the claim at *key* is one of this process that got no answer. True once."""
        if key not in self._unsure_claims:
            return False
        seen = await self._store.load(key)
        return seen is not None and seen.record == self._unsure_claims.pop(key, None)

    async def is_claimed(self, name: bytes) -> bool:
        """Whether *name* was claimed, and the claim has not ended.

        No, if this process made the claim and got no answer: `claim` may still succeed.
        """
        key = _claim_key(name)
        return await self._store.load(key) is not None and key not in self._unsure_claims

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
        expires_at = self._now() + self._lifetimes.code
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

    async def rotate(
        self, secret: bytes, request: Refreshment, prepare: Prepare = no_answer
    ) -> OpenGrant | Refused:
        """Use a refresh token (RFC 6749 §6).

        *secret* is the grant's, from the token. *prepare* is called before the upstream is asked
        and before the write; if it raises, nothing has changed.

        The upstream is asked first if its own token is about to end, so a user who was locked out
        there is locked out here at the next refresh. The new tokens and the rotation are then one
        write. Raises `UpstreamUnavailable` or `UpstreamMisbehaved` if the upstream must be asked
        and can't be: nothing has changed then.
        """
        async with self._numbering() as number:
            return await self._rotate(secret, request, prepare, number)

    def _numbering(self) -> Numbering:
        return Numbering(self.status, self._lifetimes, self._clock)

    async def _rotate(
        self, secret: bytes, request: Refreshment, prepare: Prepare, number: Numbering
    ) -> OpenGrant | Refused:
        key = handles.store_key(secret)
        written: Active | None = None

        def decision(grant: Grant) -> Decision:
            nonlocal written
            if (turned_away := self._turned_away(grant)) is not None:
                return turned_away
            outcome = transitions.refresh(
                grant,
                request,
                now=self._now(),
                grace=self._lifetimes.grace,
                age=self._rotations.age(key, grant),
                session=self._lifetimes.session,
                idle=self._lifetimes.idle,
            )
            outcome = number(outcome)
            written = outcome.grant if isinstance(outcome, Write) else None
            return _prepared(outcome, secret, prepare)

        found = await self._grants.load_patiently(secret)
        if found and isinstance(found[1], Active) and request.generation > found[1].generation:
            _store_is_behind(key, request, found[1])
        rotated = await self._renewal.rotate(secret, decision, found)
        if isinstance(rotated, OpenGrant) and rotated.grant is written:
            self._rotations.note(key, rotated.grant)
        return rotated

    async def holds(self, secret: bytes, client_id: ClientId) -> bool:
        """Whether *secret* opens a grant of *client_id* that has not ended."""
        found = await self._grants.load_patiently(secret)
        if found is None or isinstance(found[1], Revoked):
            return False
        return found[1].login.client_id == client_id

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
        if self._clock() >= self.ends_at(grant) + CLOCK_LEEWAY:
            return Refused(Reason.SESSION_OVER)
        return OpenGrant(handle.secret, grant)

    def ends_at(self, grant: Active) -> float:
        """When *grant* ends, however often it is refreshed, in seconds since the epoch."""
        return ends_at(grant, session=self._lifetimes.session)

    def fresh(self, key: bytes) -> Active | None:
        """The live grant under store key *key*, if it is cached and still fresh."""
        return self._cache.get(key)

    def fresh_for(self, key: bytes) -> float:
        """For how many seconds the grant under store key *key* need not be read again."""
        return self._cache.fresh_for(key)

    def look_again(self, key: bytes) -> None:
        """Read the grant under store key *key* from the store when it is next needed."""
        self._cache.age(key)

    async def check_secrets(self, handle: Handle | None) -> None:
        """Raise `SecretMissing` if the grant that *handle* names needs a secret that is not here.

        Call it for tokens whose key is unknown: if a missing secret signed the token, it is unknown
        whether the token is valid. *handle* None: nothing to check.
        """
        if handle is not None:
            await self._grants.check_secrets(handle.secret)

    async def revoke(self, handle: Handle, client_id: ClientId) -> Refused:
        """End the grant at its client's request (RFC 7009 §2.1)."""
        outcome = await self._grants.change(
            handle.secret, lambda grant: transitions.revoke(grant, client_id, now=self._now())
        )
        assert isinstance(outcome, Refused)  # noqa: S101  (revoke never opens)
        return outcome

    async def end_exchanges(
        self, handle: Handle, client_id: ClientId, issued_at: int
    ) -> OpenGrant | Refused:
        """End what *client_id* has got by token exchange, at its request (RFC 7009 §2.1).

        The login continues: it is another client's. *issued_at*: of the token that it revokes, by
        the clock of the replica that issued it.
        """
        at = max(self._now(), issued_at)
        return await self._grants.change(
            handle.secret, lambda grant: transitions.end_exchanges(grant, client_id, at=at)
        )

    async def end(
        self, grant: Listed, *, by: EndedBy = "operator", reason: str = "ended_from_the_list"
    ) -> None:
        """End a grant that `listing` found.

        If its client used it here a moment ago, its secret is still in the cache, and its upstream
        tokens are reported. Otherwise nobody can read them without a token of the client. They are
        reported when the client next comes with one.
        """
        secret = self._cache.secret_of(grant.key)
        await self.listing.end(grant, by=by, reason=reason)
        if secret is not None:
            await self._grants.settle(secret)

    async def end_at_provider(
        self, issuer: str, *, subject: str | None, sid: str | None
    ) -> list[Listed]:
        """End the grants of a user who logged out at the provider *issuer*. Returns them.

        *sid*: those of this session; None: all of *subject*. A grant that does not say its session
        ends with any session of its user.
        """
        subjects = {subject} if subject is not None else set()
        if sid is not None:
            subjects |= await self._provider_sessions.end(issuer, sid)
        elif subject is not None:
            await self._provider_sessions.end_all(issuer, subject)
        ended: list[Listed] = []
        for each in subjects:
            ended += [
                grant
                async for grant in self.listing.find(subject=(issuer, each))
                if sid is None or grant.summary is None or grant.summary.sid in (None, sid)
            ]
        for grant in ended:
            await self.end(grant, by="provider", reason="backchannel_logout")
        return ended

    def renewed_at(self, grant: Listed) -> int:
        """When the client of *grant* last got tokens.

        For a grant of an earlier version it is right if the lifetimes were the same then.
        """
        if grant.summary is not None and grant.summary.used_at is not None:
            return grant.summary.used_at
        return grant.expires_at - self._lifetimes.refresh

    def lasts_until(self, grant: Listed) -> int:
        """When *grant*, which `listing` found, ends if its client does not refresh it."""
        if grant.summary is None or is_of_browser(grant.summary.client_id):
            return grant.expires_at
        if grant.summary.ends_at is not None:
            return min(grant.summary.ends_at, grant.expires_at)
        since, limits = grant.summary.created_at, self._lifetimes
        used = max(since, self.renewed_at(grant))
        session, idle = limits.session or math.inf, limits.idle or math.inf
        return int(min(grant.expires_at, since + session, used + idle))

    async def watch(self) -> None:
        """Drop from the cache what other processes change. It runs until it is cancelled.

        If another process ended a grant that it could not decrypt, and it is in this cache, its
        upstream tokens are reported.
        """
        self._anything_changed()  # changes from before it listened
        async for key in self._store.changes():
            if key == EVERYTHING:
                self._anything_changed()
                continue
            secret = self._cache.secret_of(key)
            self._changed(key)
            if secret is not None:  # another process may have ended it, and could not read it
                self._settling.start(key, partial(self._grants.settle, secret))

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
            cached=self._cache.size,
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

    def judge_again(self) -> None:
        """The rules have changed: each grant is judged by the new ones before its next use."""
        self._cache.drop_unless(lambda grant: self._admits(grant.login.identity))

    def _turned_away(self, grant: Grant) -> Revoke | None:
        """The end of *grant*, if the rules do not let its user in any more."""
        if not isinstance(grant, Active) or self._admits(grant.login.identity):
            return None
        return transitions.end(grant, Reason.NOT_ADMITTED, now=self._now())

    async def _turn_away(self, secret: bytes) -> None:
        """End the grant of *secret*, unless it has ended, or its user may log in after all."""

        def decision(grant: Grant) -> Decision:
            if not isinstance(grant, Active):
                return Refuse(Reason.REVOKED)
            return self._turned_away(grant) or Keep(grant)

        await self._grants.change(secret, decision)

    def _changed(self, key: bytes) -> None:
        """Drop the grant under *key*, and join no load that may have seen it before."""
        self._cache.drop(key)
        self._loads.forget(key)

    def _anything_changed(self) -> None:
        self._cache.doubt()
        self._loads.forget_all()

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
        if found is not None and self._turned_away(found[1]) is not None:
            await self._turn_away(secret)
            found = await self._grants.load(secret)
        grant = None if found is None else found[1]
        if isinstance(grant, Active):
            self._cache.put(key, OpenGrant(secret, grant), ticket)
        else:
            self._cache.drop(key)
        return grant

    def _now(self) -> int:
        return int(self._clock())


def _claim_key(name: bytes) -> bytes:
    # No secret goes into it: replicas must agree on it while a secret is replaced.
    return hashlib.sha256(b"mintage claim\0" + name).digest()


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
