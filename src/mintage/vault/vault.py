"""The vault: what can be asked of the grants that are kept.

Nothing here knows HTTP. The upstream's renewal comes in as a function, and what must be
revoked at the upstream goes out as a value.
"""

import hmac

from mintage import grant as decide
from mintage import handles
from mintage.errors import (
    Exists,
)
from mintage.grant import (
    Active,
    Grant,
    Login,
    Pending,
    Reason,
    Redemption,
    Refreshment,
    UpstreamTokens,
    Write,
)
from mintage.handles import Handle
from mintage.stores.protocol import EVERYTHING, Store
from mintage.values import ClientId, Clock, Dice
from mintage.vault.cache import GrantCache
from mintage.vault.renewal import Renewal
from mintage.vault.sealed import SealedGrants
from mintage.vault.single_flight import SingleFlight
from mintage.vault.values import Decision, Lifetimes, Opened, Refused, Renew, VaultKeys


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
        self._index_key = keys.index
        self._clock = clock
        self._dice = dice
        self._lifetimes = lifetimes or Lifetimes()
        self._cache = cache or GrantCache(clock=clock)
        self._loads: SingleFlight[Grant | None] = SingleFlight()
        self._grants = SealedGrants(
            store,
            keys,
            clock=clock,
            dice=dice,
            refresh_lifetime=self._lifetimes.refresh,
            changed=self._cache.drop,
        )
        self._renewal = Renewal(self._grants, clock=clock, dice=dice, lifetimes=self._lifetimes)

    async def claim(self, name: bytes, *, expires_at: int) -> bool:
        """Whether *name* is claimed here and now, and by nobody before (until *expires_at*)."""
        key = hmac.digest(self._index_key, b"claim\0" + name, "sha256")
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
        expires_at = self._now() + self._lifetimes.code
        pending = Pending(
            login=login,
            upstream=upstream,
            code_hash=handles.code_hash(raw),
            code_challenge=code_challenge,
            redirect_uri=redirect_uri,
            code_expires_at=expires_at,
        )
        await self._grants.insert(secret, pending, login, expires_at)
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
        return await self._grants.change(
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

        before = await self._grants.load(handle.secret)
        if before is not None:
            match decision(before[1]):
                case Write(grant=active) if active.upstream.refresh_token is not None:
                    renewed = await self.with_fresh_upstream(Opened(handle.secret, active), renew)
                    if isinstance(renewed, Refused):
                        return renewed
        return await self._grants.change(handle.secret, decision)

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
        outcome = await self._grants.change(
            handle.secret, lambda grant: decide.revoke(grant, client_id, now=self._now())
        )
        assert isinstance(outcome, Refused)  # noqa: S101  (revoke never opens)
        return outcome

    async def watch(self) -> None:
        """Forget what other processes change, as they change it; runs until cancelled."""
        self._cache.clear()  # what changed before anybody listened is not known
        async for key in self._store.changes():
            if key == EVERYTHING:
                self._cache.clear()
            else:
                self._cache.drop(key)

    async def with_fresh_upstream(self, opened: Opened, renew: Renew) -> Opened | Refused:
        """*opened* with an upstream token that is good for a while yet (see `Renewal.fresh`)."""
        return await self._renewal.fresh(opened, renew)

    async def drain(self) -> None:
        """Wait for renewals under way (see `Renewal.drain`)."""
        await self._renewal.drain()

    async def _load_cached(self, key: bytes, secret: bytes) -> Grant | None:
        ticket = self._cache.ticket(key)
        grant: Grant | None = None
        try:
            found = await self._grants.load(secret)
            grant = None if found is None else found[1]
        finally:
            self._cache.put(key, grant if isinstance(grant, Active) else None, ticket)
        return grant

    def _now(self) -> int:
        return int(self._clock())
