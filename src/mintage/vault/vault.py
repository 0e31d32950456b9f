"""The vault: load, open, let `grant` decide, replace. Lose a race and decide again.

Nothing here knows HTTP. The upstream's renewal comes in as a function, and what must be
revoked at the upstream goes out as a value.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from mintage import grant as decide
from mintage import handles, records
from mintage.errors import (
    Exists,
    NewerRecord,
    RecordError,
    SealError,
    Stale,
    StoreUnavailable,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.grant import (
    Active,
    Grant,
    Keep,
    Login,
    Pending,
    Reason,
    Redemption,
    Refreshment,
    Refuse,
    Revoke,
    UpstreamTokens,
    Wait,
    Write,
)
from mintage.handles import Handle
from mintage.sealing import NONCE_BYTES, BoxKey, record_key, seal
from mintage.stores.protocol import EVERYTHING, Index, Store, Versioned
from mintage.values import ClientId, Clock, Dice
from mintage.vault.cache import GrantCache
from mintage.vault.single_flight import SingleFlight

log = logging.getLogger("mintage.vault")

Renew: TypeAlias = Callable[[UpstreamTokens], Awaitable[UpstreamTokens]]

_ATTEMPTS: Final = 100  # each lost race is somebody else's progress; this many is a fault
_LEASE_POLL: Final = 0.05  # seconds between two looks at another process's lease
_SAVE_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8)  # seconds: about 16 in all
_COOL_DOWN: Final = 3.0  # seconds without asking an upstream that has just failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """All in seconds. *upstream_margin*: how long before its end an upstream token is renewed."""

    code: int = 60
    access: int = 3600
    refresh: int = 2_592_000
    grace: int = 60
    upstream_margin: int = 60
    lease: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultKeys:
    """Purpose keys of 32 bytes each: *seal* for records, *index* for the names of lists."""

    seal: bytes = field(repr=False)
    index: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A live grant, and the secret that opened it."""

    secret: bytes = field(repr=False)
    grant: Active = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not. *ended*: upstream tokens that just lost their grant, for the upstream to revoke."""

    reason: Reason
    ended: UpstreamTokens | None = None


class Vault:
    def __init__(
        self,
        store: Store,
        keys: VaultKeys,
        *,
        clock: Clock,
        dice: Dice,
        lifetimes: Lifetimes | None = None,
        cache: GrantCache | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._dice = dice
        self._lifetimes = lifetimes or Lifetimes()
        self._cache = cache or GrantCache(clock=clock)
        self._loads: SingleFlight[Grant | None] = SingleFlight()
        self._renewals: SingleFlight[Opened | Refused] = SingleFlight()
        self._failures: dict[bytes, tuple[float, UpstreamUnavailable | UpstreamMisbehaved]] = {}

    async def claim(self, name: bytes, *, expires_at: int) -> bool:
        """Whether *name* is claimed here and now, and by nobody before (until *expires_at*)."""
        key = hmac.digest(self._keys.index, b"claim\0" + name, "sha256")
        try:
            await self._store.insert(key, b"", None, expires_at)
        except Exists:
            return False
        return True

    async def create(
        self, login: Login, upstream: UpstreamTokens, *, code_challenge: str, redirect_uri: str
    ) -> str:
        """Keep a finished login; the authorization code that opens it."""
        raw = self._dice(handles.CODE_BYTES)
        secret = raw[: handles.SECRET_BYTES]
        key = handles.store_key(secret)
        expires_at = self._now() + self._lifetimes.code
        pending = Pending(
            login=login,
            upstream=upstream,
            code_hash=handles.code_hash(raw),
            code_challenge=code_challenge,
            redirect_uri=redirect_uri,
            code_expires_at=expires_at,
        )
        await self._store.insert(
            key, self._encode(pending, secret, key), self._index(login, key), expires_at
        )
        return handles.make_code(raw)

    async def redeem(
        self,
        code: str,
        *,
        client_id: ClientId,
        code_verifier: str,
        redirect_uri: str | None,
        resource: str | None,
    ) -> Opened | Refused:
        """What *code* earns (RFC 6749 §4.1.3). Of any number of callers, one opens the grant."""
        parsed = handles.parse_code(code)
        if parsed is None:
            return Refused(Reason.UNKNOWN)
        secret, code_hash = parsed
        request = Redemption(
            client_id=client_id,
            code_hash=code_hash,
            code_verifier=code_verifier,
            redirect_uri=redirect_uri,
            resource=resource,
        )
        return await self._change(
            secret, lambda grant: decide.redeem(grant, request, now=self._now())
        )

    async def rotate(self, handle: Handle, request: Refreshment, renew: Renew) -> Opened | Refused:
        """What a refresh token earns (RFC 6749 §6).

        The upstream is asked first where its own token is about to end: a user who was
        locked out there is locked out here at the next refresh. Raises
        `UpstreamUnavailable` or `UpstreamMisbehaved` where it must be asked and can't be:
        nothing has changed then.
        """

        def decision(grant: Grant) -> Decision:
            return decide.refresh(grant, request, now=self._now(), grace=self._lifetimes.grace)

        before = await self._load(handle.secret)
        if before is not None:
            match decision(before[1]):
                case Write(grant=active) if active.upstream.refresh_token is not None:
                    renewed = await self.with_fresh_upstream(Opened(handle.secret, active), renew)
                    if isinstance(renewed, Refused):
                        return renewed
        return await self._change(handle.secret, decision)

    async def authenticate(self, handle: Handle) -> Opened | Refused:
        """The live grant of an access token, from memory while that is fresh."""
        key = handles.store_key(handle.secret)
        grant = self._cache.get(key)
        if grant is None:
            found = await self._loads.join(key, lambda: self._load_cached(key, handle.secret))
            if found is None:
                return Refused(Reason.UNKNOWN)
            if not isinstance(found, Active):
                revoked = not isinstance(found, Pending)
                return Refused(Reason.REVOKED if revoked else Reason.NOT_ACTIVE)
            grant = found
        return Opened(handle.secret, grant)

    async def revoke(self, handle: Handle, client_id: ClientId) -> Refused:
        """End the grant on its client's word (RFC 7009 §2.1)."""
        outcome = await self._change(
            handle.secret, lambda grant: decide.revoke(grant, client_id, now=self._now())
        )
        assert isinstance(outcome, Refused)  # noqa: S101  (revoke never opens)
        return outcome

    async def with_fresh_upstream(self, opened: Opened, renew: Renew) -> Opened | Refused:
        """*opened* with an upstream token that is good for a while yet.

        One process asks, once, for all who wait. While the old token still holds nobody
        waits: it is renewed behind their backs. Raises `UpstreamUnavailable` or
        `UpstreamMisbehaved` where it has ended and no new one can be had.
        """
        tokens, now = opened.grant.upstream, self._now()
        if not decide.is_due(tokens, now=now, margin=self._lifetimes.upstream_margin):
            return opened
        key = handles.store_key(opened.secret)
        expired = decide.is_due(tokens, now=now, margin=0)
        if tokens.refresh_token is None:
            if not expired:
                return opened
            return await self._end(opened.secret, Reason.UPSTREAM_EXPIRED, tokens)
        if (failure := self._recent_failure(key)) is not None:
            if expired:
                raise failure
            return opened
        flight = self._renewals.start(key, lambda: self._renew(opened.secret, renew))
        return await asyncio.shield(flight) if expired else opened

    async def watch(self) -> None:
        """Forget what other processes change, as they change it; runs until cancelled."""
        async for key in self._store.changes():
            if key == EVERYTHING:
                self._cache.clear()
            else:
                self._cache.drop(key)

    async def drain(self) -> None:
        """Wait for renewals under way: what the upstream hands out must be saved."""
        await self._renewals.drain()

    async def _renew(self, secret: bytes, renew: Renew) -> Opened | Refused:
        """Ask the upstream under a lease, so that of all processes one asks."""
        key = handles.store_key(secret)
        holder = self._dice(8)
        leased = await self._take_lease(secret, holder)
        if isinstance(leased, Refused) or leased.grant.lease is None:
            return leased
        try:
            tokens = await renew(leased.grant.upstream)
        except UpstreamRefused as refusal:
            log.info("grant %s: upstream refused: %s", handles.grant_id(key), refusal.error)
            return await self._end(secret, Reason.UPSTREAM_REFUSED, leased.grant.upstream)
        except (UpstreamUnavailable, UpstreamMisbehaved) as failure:
            self._remember_failure(key, failure)
            await self._change(secret, _if_active(lambda grant: decide.release(grant, holder)))
            raise
        return await self._save_renewed(secret, tokens)

    async def _save_renewed(self, secret: bytes, tokens: UpstreamTokens) -> Opened | Refused:
        """Keep what the upstream gave, through an outage of the store as well.

        Its old refresh token is spent: giving up early would cost the user the login.
        """
        for pause in (*_SAVE_PAUSES, None):
            try:
                return await self._change(
                    secret,
                    _if_active(lambda grant: Write(decide.renewed(grant, tokens))),
                    orphan=tokens,
                )
            except StoreUnavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _take_lease(self, secret: bytes, holder: bytes) -> Opened | Refused:
        """The grant leased to *holder*; or without a lease, if another has renewed it."""
        while True:
            waiting: list[Wait] = []

            def decision(grant: Grant, waiting: list[Wait] = waiting) -> Decision:
                if not isinstance(grant, Active):
                    return Refuse(Reason.REVOKED)
                turn = decide.lease(
                    grant,
                    holder,
                    now=self._now(),
                    margin=self._lifetimes.upstream_margin,
                    duration=self._lifetimes.lease,
                )
                if isinstance(turn, Wait):
                    waiting.append(turn)
                    return Keep(grant)
                return turn

            outcome = await self._change(secret, decision)
            if not waiting:
                return outcome
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
            return decide.end(grant, reason, now=self._now())

        return await self._change(secret, decision)

    async def _change(
        self,
        secret: bytes,
        decision: Callable[[Grant], "Decision"],
        *,
        orphan: UpstreamTokens | None = None,
    ) -> Opened | Refused:
        """Load, decide, replace; on a lost race, again with what the winner wrote.

        *orphan*: tokens that need revoking if there is no longer a grant to hold them.
        """
        for _ in range(_ATTEMPTS):
            found = await self._load(secret)
            if found is None:
                return Refused(Reason.UNKNOWN, orphan)
            seen, grant = found
            outcome = decision(grant)
            try:
                match outcome:
                    case Keep(grant=kept):
                        return Opened(secret, kept)
                    case Refuse(reason=reason):
                        return Refused(reason, orphan)
                    case Write(grant=active):
                        await self._replace(secret, seen, active)
                        return Opened(secret, active)
                    case Revoke(grant=revoked, upstream=upstream):
                        await self._replace(secret, seen, revoked)
                        return Refused(revoked.reason, upstream)
            except Stale:
                continue
        raise StoreUnavailable("a grant kept changing under us")

    async def _replace(self, secret: bytes, seen: Versioned, grant: Grant) -> None:
        key = handles.store_key(secret)
        expires_at = self._now() + self._lifetimes.refresh
        if isinstance(grant, Active):
            expires_at = grant.rotated_at + self._lifetimes.refresh
        try:
            await self._store.replace(key, seen, self._encode(grant, secret, key), expires_at)
        finally:
            # Also after a failure: whether it was written is then not known.
            self._cache.drop(key)

    async def _load_cached(self, key: bytes, secret: bytes) -> Grant | None:
        ticket = self._cache.ticket(key)
        grant: Grant | None = None
        try:
            found = await self._load(secret)
            grant = None if found is None else found[1]
        finally:
            self._cache.put(key, grant if isinstance(grant, Active) else None, ticket)
        return grant

    async def _load(self, secret: bytes) -> tuple[Versioned, Grant] | None:
        """The grant that *secret* opens, or None.

        A record that does not open is as good as lost: its client must log in again, and
        an operator must hear of it. One that a newer Mintage wrote is not lost: 503.
        """
        key = handles.store_key(secret)
        seen = await self._store.load(key)
        if seen is None:
            return None
        box_key = record_key(self._keys.seal, secret)
        try:
            return seen, records.decode(seen.record, key=box_key, store_key=key)
        except NewerRecord as newer:
            raise StoreUnavailable(str(newer)) from newer
        except (SealError, RecordError) as error:
            log.error("grant %s: its record is damaged: %s", handles.grant_id(key), error)  # noqa: TRY400
            return None

    def _encode(self, grant: Grant, secret: bytes, key: bytes) -> bytes:
        return records.encode(
            grant,
            key=record_key(self._keys.seal, secret),
            store_key=key,
            nonce=self._dice(NONCE_BYTES),
        )

    def _index(self, login: Login, key: bytes) -> Index:
        """Names for lists: hashes to find by, and who it is under the server's own key."""
        summary = msgspec.msgpack.encode(
            (login.identity.issuer, login.identity.subject, login.client_id, login.created_at)
        )
        return Index(
            subject=self.subject_hash(login.identity.issuer, login.identity.subject),
            client=self.client_hash(login.client_id),
            summary=seal(
                summary,
                key=BoxKey(self._keys.seal),
                context=b"summary\0" + key,
                nonce=self._dice(NONCE_BYTES),
            ),
        )

    def subject_hash(self, issuer: str, subject: str) -> bytes:
        """By what the store lists one user's grants."""
        name = msgspec.msgpack.encode(("subject", issuer, subject))
        return hmac.digest(self._keys.index, name, "sha256")

    def client_hash(self, client_id: ClientId) -> bytes:
        """By what the store lists one client's grants."""
        name = msgspec.msgpack.encode(("client", client_id))
        return hmac.digest(self._keys.index, name, "sha256")

    def _recent_failure(self, key: bytes) -> UpstreamUnavailable | UpstreamMisbehaved | None:
        found = self._failures.get(key)
        if found is None:
            return None
        until, failure = found
        if self._clock() < until:
            return failure
        del self._failures[key]
        return None

    def _remember_failure(
        self, key: bytes, failure: UpstreamUnavailable | UpstreamMisbehaved
    ) -> None:
        if len(self._failures) >= 1000:  # noqa: PLR2004
            self._failures.clear()
        self._failures[key] = (self._clock() + _COOL_DOWN, failure)

    def _now(self) -> int:
        return int(self._clock())


Decision: TypeAlias = Keep | Write | Refuse | Revoke


def _if_active(change: Callable[[Active], Keep | Write]) -> Callable[[Grant], Decision]:
    def decision(grant: Grant) -> Decision:
        return change(grant) if isinstance(grant, Active) else Refuse(Reason.REVOKED)

    return decision
