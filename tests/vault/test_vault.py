"""The vault beyond races: leases, renewals, caches, and what other processes do."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mintage.errors import StoreUnavailable, UpstreamRefused, UpstreamUnavailable
from mintage.grants.handles import Handle
from mintage.grants.lease import Renewed
from mintage.grants.pkce import s256
from mintage.grants.states import Consent, Identity, Reason, UpstreamTokens
from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import Index, Versioned
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.values import Lifetimes, Opened, Refused, Renew, VaultKeys
from mintage.vault.vault import Vault

CLIENT = ClientId("client")
VERIFIER = "v" * 43
KEYS = VaultKeys(seal=b"s" * 32, index=b"i" * 32)


class CountingStore(MemoryStore):
    """A memory store that counts, and is away when told."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.loads = 0
        self.writes = 0
        self.away = False

    async def load(self, key: bytes) -> Versioned | None:
        self.loads += 1
        return await super().load(key)

    async def insert(self, key: bytes, record: bytes, index: Index | None, expires_at: int) -> None:
        self.writes += 1
        await super().insert(key, record, index, expires_at)

    async def replace(
        self,
        key: bytes,
        old: Versioned,
        record: bytes,
        expires_at: int,
        index: Index | None = None,
    ) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.writes += 1
        await super().replace(key, old, record, expires_at)


class Upstream:
    """A provider that ends the family when a refresh token is used twice."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.calls = 0
        self.valid = "r0"
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def tokens(self) -> UpstreamTokens:
        return UpstreamTokens(
            access_token=f"a{self.calls}",
            refresh_token=self.valid,
            expires_at=int(self.clock()) + 600,
        )

    async def renew(self, old: UpstreamTokens, _: Identity) -> Renewed:
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if old.refresh_token != self.valid:
            raise UpstreamRefused("invalid_grant")
        self.valid = f"r{self.calls}"
        return Renewed(self.tokens())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def upstream(clock: ManualClock) -> Upstream:
    return Upstream(clock)


@pytest.fixture
def store(clock: ManualClock) -> CountingStore:
    return CountingStore(clock)


@pytest.fixture
def vault(store: CountingStore, clock: ManualClock) -> Vault:
    return Vault(store, KEYS, clock=clock, random_bytes=secrets.token_bytes, lifetimes=Lifetimes())


async def logged_in(vault: Vault, upstream: Upstream) -> Opened:
    code = await vault.create(
        Consent(
            client_id=CLIENT,
            resource="https://auth.example/mcp",
            scopes=("tools",),
            identity=Identity(issuer="https://idp.example", subject="alice"),
            created_at=0,
        ),
        upstream.tokens(),
        code_challenge=s256(VERIFIER),
        redirect_uri="https://app.example/cb",
    )
    opened = await vault.redeem(
        code, client_id=CLIENT, code_verifier=VERIFIER, redirect_uri=None, resource=None
    )
    assert isinstance(opened, Opened)
    return opened


def access(opened: Opened) -> Handle:
    return Handle(opened.secret, 1, "access")


async def use(vault: Vault, opened: Opened, renew: Renew) -> Opened | Refused:
    """What the gateway does for each request that needs the upstream token."""
    outcome = await vault.authenticate(access(opened))
    if isinstance(outcome, Refused):
        return outcome
    return await vault.with_fresh_upstream(outcome, renew)


class TestCost:
    async def test_a_login_is_two_writes_and_a_claim(
        self, vault: Vault, store: CountingStore, upstream: Upstream
    ) -> None:
        assert await vault.claim(b"state", expires_at=2**40)
        await logged_in(vault, upstream)
        assert store.writes == 3

    async def test_a_request_reads_nothing_while_the_cache_is_fresh(
        self, vault: Vault, store: CountingStore, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        await use(vault, opened, upstream.renew)
        loads, writes = store.loads, store.writes
        for _ in range(100):
            await use(vault, opened, upstream.renew)
        assert (store.loads, store.writes) == (loads, writes)
        clock.advance(5)
        await use(vault, opened, upstream.renew)
        assert store.loads == loads + 1

    async def test_a_hundred_cold_requests_at_once_read_once(
        self, vault: Vault, store: CountingStore, upstream: Upstream
    ) -> None:
        opened = await logged_in(vault, upstream)
        loads = store.loads
        await asyncio.gather(*(vault.authenticate(access(opened)) for _ in range(100)))
        assert store.loads == loads + 1


class TestRenewal:
    async def test_is_asked_for_once_by_all_who_wait(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        clock.advance(600)
        outcomes = await asyncio.gather(*(use(vault, opened, upstream.renew) for _ in range(50)))
        assert {o.grant.upstream.access_token for o in outcomes if isinstance(o, Opened)} == {"a1"}
        assert (upstream.calls, len(outcomes)) == (1, 50)

    async def test_goes_on_behind_those_whose_token_still_holds(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        clock.advance(560)
        upstream.gate.clear()
        outcome = await use(vault, opened, upstream.renew)
        assert isinstance(outcome, Opened)
        assert outcome.grant.upstream.access_token == "a0"
        upstream.gate.set()
        await vault.drain()
        outcome = await use(vault, opened, upstream.renew)
        assert isinstance(outcome, Opened)
        assert outcome.grant.upstream.access_token == "a1"

    async def test_is_saved_though_its_caller_went_away(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        clock.advance(600)
        upstream.gate.clear()
        caller = asyncio.create_task(use(vault, opened, upstream.renew))
        await asyncio.sleep(0.01)
        caller.cancel()
        upstream.gate.set()
        await vault.drain()
        outcome = await use(vault, opened, upstream.renew)
        assert isinstance(outcome, Opened)
        assert (outcome.grant.upstream.access_token, upstream.calls) == ("a1", 1)

    async def test_is_saved_through_a_short_outage_of_the_store(
        self, vault: Vault, store: CountingStore, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        clock.advance(600)
        upstream.gate.clear()
        caller = asyncio.create_task(use(vault, opened, upstream.renew))
        await asyncio.sleep(0.01)
        store.away = True
        upstream.gate.set()
        await asyncio.sleep(0.08)
        store.away = False
        outcome = await caller
        assert isinstance(outcome, Opened)
        assert (outcome.grant.upstream.access_token, upstream.calls) == ("a1", 1)

    async def test_whose_grant_was_revoked_meanwhile_is_told_of_though_nobody_waits(
        self, store: CountingStore, upstream: Upstream, clock: ManualClock
    ) -> None:
        """The new tokens would live on at the upstream, known to nobody."""
        told: list[Refused] = []
        vault = Vault(store, KEYS, clock=clock, random_bytes=secrets.token_bytes, ended=told.append)
        opened = await logged_in(vault, upstream)
        clock.advance(560)  # due, and still good: renewed behind the caller's back
        upstream.gate.clear()
        assert isinstance(await use(vault, opened, upstream.renew), Opened)
        await asyncio.sleep(0.01)
        await vault.revoke(access(opened), CLIENT)
        upstream.gate.set()
        await vault.drain()
        assert [refused.ended and refused.ended.access_token for refused in told] == ["a1"]

    async def test_that_fails_is_not_tried_again_at_once(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        clock.advance(600)
        upstream.error = UpstreamUnavailable("down")
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable):
                await use(vault, opened, upstream.renew)
        assert upstream.calls == 1
        upstream.error = None
        clock.advance(3)
        assert isinstance(await use(vault, opened, upstream.renew), Opened)

    async def test_refused_ends_the_grant(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream)
        clock.advance(600)
        upstream.valid = "another"
        outcome = await use(vault, opened, upstream.renew)
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.UPSTREAM_REFUSED
        assert await vault.authenticate(access(opened)) == Refused(Reason.REVOKED)


class TestReplicas:
    """Several vaults on one SQLite file: processes that share nothing else."""

    @pytest.fixture
    async def replicas(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[list[Vault]]:
        path = tmp_path / "store.db"
        stores = [await SQLiteStore.open(path, clock=clock, poll=0.01) for _ in range(4)]
        vaults = [
            Vault(store, KEYS, clock=clock, random_bytes=secrets.token_bytes) for store in stores
        ]
        watchers = [asyncio.create_task(vault.watch()) for vault in vaults]
        await asyncio.sleep(0.05)
        yield vaults
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        for store in stores:
            await store.close()

    async def test_ask_the_upstream_once(
        self, replicas: list[Vault], upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(replicas[0], upstream)
        clock.advance(600)
        outcomes = await asyncio.gather(
            *(use(vault, opened, upstream.renew) for vault in replicas for _ in range(25))
        )
        assert {o.grant.upstream.access_token for o in outcomes if isinstance(o, Opened)} == {"a1"}
        assert (upstream.calls, len(outcomes)) == (1, 100)

    async def test_hear_of_a_revocation(self, replicas: list[Vault], upstream: Upstream) -> None:
        opened = await logged_in(replicas[0], upstream)
        for vault in replicas:
            assert isinstance(await vault.authenticate(access(opened)), Opened)
        await replicas[0].revoke(access(opened), CLIENT)
        assert isinstance(await replicas[0].authenticate(access(opened)), Refused)
        async with asyncio.timeout(2):
            for vault in replicas:
                while isinstance(await vault.authenticate(access(opened)), Opened):
                    await asyncio.sleep(0.01)

    async def test_wait_for_a_dead_leaseholder_no_longer_than_its_lease(
        self, replicas: list[Vault], upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(replicas[0], upstream)
        clock.advance(600)
        end = asyncio.Event()

        async def die(_: UpstreamTokens, __: Identity) -> Renewed:
            await end.wait()
            raise UpstreamUnavailable("too late to matter")

        dead = asyncio.create_task(use(replicas[0], opened, die))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(use(replicas[1], opened, upstream.renew))
        await asyncio.sleep(0.1)
        assert (waiting.done(), upstream.calls) == (False, 0)
        clock.advance(20)
        outcome = await waiting
        assert isinstance(outcome, Opened)
        assert (outcome.grant.upstream.access_token, upstream.calls) == ("a1", 1)
        end.set()
        with pytest.raises(UpstreamUnavailable):
            await dead

    async def test_survive_a_leaseholder_who_comes_late_and_is_refused(
        self, replicas: list[Vault], upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(replicas[0], upstream)
        clock.advance(600)
        late = asyncio.Event()

        async def refused(_: UpstreamTokens, __: Identity) -> Renewed:
            await late.wait()
            raise UpstreamRefused("invalid_grant")

        slow = asyncio.create_task(use(replicas[0], opened, refused))
        await asyncio.sleep(0.05)
        clock.advance(20)
        assert isinstance(await use(replicas[1], opened, upstream.renew), Opened)
        late.set()
        outcome = await slow
        assert isinstance(outcome, Opened)
        assert outcome.grant.upstream.access_token == "a1"
