"""The vault beyond races: leases, renewals, caches, and what other processes do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mintage.errors import UpstreamRefused, UpstreamUnavailable
from mintage.grants.handles import Handle
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, Reason, UpstreamTokens
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.vault.values import OpenGrant, Refused, Renew
from mintage.vault.vault import Vault
from tests.support.faulty_store import FOREVER, FaultyStore
from tests.support.grant_states import upstream_of
from tests.support.logins import CLIENT, logged_in, vault_on


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
def store(clock: ManualClock) -> FaultyStore:
    return FaultyStore(clock)


@pytest.fixture
def vault(store: FaultyStore, clock: ManualClock, upstream: Upstream) -> Vault:
    return vault_on(store, clock, renew=upstream.renew)


def access(opened: OpenGrant) -> Handle:
    return Handle(opened.secret, 1, "access")


async def use(vault: Vault, opened: OpenGrant) -> OpenGrant | Refused:
    """What the gateway does for each request that needs the upstream token."""
    outcome = await vault.live.authenticate(access(opened))
    if isinstance(outcome, Refused):
        return outcome
    return await vault.with_fresh_upstream(outcome)


class TestCost:
    async def test_a_login_is_two_writes_and_a_claim(
        self, vault: Vault, store: FaultyStore, upstream: Upstream
    ) -> None:
        assert await vault.single_use.claim(b"state", expires_at=2**40)
        await logged_in(vault, upstream=upstream.tokens())
        assert store.writes == 3

    async def test_a_request_reads_nothing_while_the_cache_is_fresh(
        self, vault: Vault, store: FaultyStore, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        await use(vault, opened)
        before = store.seen.copy()
        for _ in range(100):
            await use(vault, opened)
        assert store.seen == before
        clock.advance(5)
        await use(vault, opened)
        assert store.seen["load"] == before["load"] + 1

    async def test_a_hundred_cold_requests_at_once_read_once(
        self, vault: Vault, store: FaultyStore, upstream: Upstream
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        loads = store.seen["load"]
        await asyncio.gather(*(vault.live.authenticate(access(opened)) for _ in range(100)))
        assert store.seen["load"] == loads + 1


class TestRenewal:
    async def test_is_asked_for_once_by_all_who_wait(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        clock.advance(600)
        outcomes = await asyncio.gather(*(use(vault, opened) for _ in range(50)))
        assert {
            upstream_of(o.grant).access_token for o in outcomes if isinstance(o, OpenGrant)
        } == {"a1"}
        assert (upstream.calls, len(outcomes)) == (1, 50)

    async def test_goes_on_behind_those_whose_token_still_holds(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        clock.advance(560)
        upstream.gate.clear()
        outcome = await use(vault, opened)
        assert isinstance(outcome, OpenGrant)
        assert upstream_of(outcome.grant).access_token == "a0"
        upstream.gate.set()
        await vault.drain()
        outcome = await use(vault, opened)
        assert isinstance(outcome, OpenGrant)
        assert upstream_of(outcome.grant).access_token == "a1"

    async def test_is_saved_though_its_caller_went_away(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        clock.advance(600)
        upstream.gate.clear()
        caller = asyncio.create_task(use(vault, opened))
        await asyncio.sleep(0.01)
        caller.cancel()
        upstream.gate.set()
        await vault.drain()
        outcome = await use(vault, opened)
        assert isinstance(outcome, OpenGrant)
        assert (upstream_of(outcome.grant).access_token, upstream.calls) == ("a1", 1)

    async def test_is_saved_through_a_short_outage_of_the_store(
        self, vault: Vault, store: FaultyStore, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        clock.advance(600)
        upstream.gate.clear()
        caller = asyncio.create_task(use(vault, opened))
        await asyncio.sleep(0.01)
        store.failing = FOREVER
        upstream.gate.set()
        await asyncio.sleep(0.08)
        store.failing = 0
        outcome = await caller
        assert isinstance(outcome, OpenGrant)
        assert (upstream_of(outcome.grant).access_token, upstream.calls) == ("a1", 1)

    async def test_that_fails_is_not_tried_again_at_once(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        clock.advance(600)
        upstream.error = UpstreamUnavailable("down")
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable):
                await use(vault, opened)
        assert upstream.calls == 1
        upstream.error = None
        clock.advance(3)
        assert isinstance(await use(vault, opened), OpenGrant)

    async def test_refused_ends_the_grant(
        self, vault: Vault, upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault, upstream=upstream.tokens())
        clock.advance(600)
        upstream.valid = "another"
        outcome = await use(vault, opened)
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.UPSTREAM_REFUSED
        assert await vault.live.authenticate(access(opened)) == Refused(Reason.REVOKED)


class TestReplicas:
    """Several vaults on one SQLite file: processes that share nothing else."""

    @pytest.fixture
    def asked(self, upstream: Upstream) -> list[Renew]:
        """How each of them asks the provider."""
        return [upstream.renew] * 4

    @pytest.fixture
    async def replicas(
        self, clock: ManualClock, tmp_path: Path, asked: list[Renew]
    ) -> AsyncIterator[list[Vault]]:
        path = tmp_path / "store.db"
        stores = [await SQLiteStore.open(path, clock=clock, poll=0.01) for _ in range(4)]
        vaults = [
            vault_on(store, clock, renew=lambda *call, at=at: asked[at](*call))
            for at, store in enumerate(stores)
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
        opened = await logged_in(replicas[0], upstream=upstream.tokens())
        clock.advance(600)
        outcomes = await asyncio.gather(
            *(use(vault, opened) for vault in replicas for _ in range(25))
        )
        assert {
            upstream_of(o.grant).access_token for o in outcomes if isinstance(o, OpenGrant)
        } == {"a1"}
        assert (upstream.calls, len(outcomes)) == (1, 100)

    async def test_hear_of_a_revocation(self, replicas: list[Vault], upstream: Upstream) -> None:
        opened = await logged_in(replicas[0], upstream=upstream.tokens())
        for vault in replicas:
            assert isinstance(await vault.live.authenticate(access(opened)), OpenGrant)
        await replicas[0].revocation.revoke(access(opened), CLIENT)
        assert isinstance(await replicas[0].live.authenticate(access(opened)), Refused)
        async with asyncio.timeout(20):
            for vault in replicas:
                while isinstance(await vault.live.authenticate(access(opened)), OpenGrant):
                    await asyncio.sleep(0.01)

    async def test_wait_for_a_dead_leaseholder_no_longer_than_its_lease(
        self, replicas: list[Vault], asked: list[Renew], upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(replicas[0], upstream=upstream.tokens())
        clock.advance(600)
        end = asyncio.Event()

        async def die(_: UpstreamTokens, __: Identity) -> Renewed:
            await end.wait()
            raise UpstreamUnavailable("too late to matter")

        asked[0] = die
        dead = asyncio.create_task(use(replicas[0], opened))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(use(replicas[1], opened))
        await asyncio.sleep(0.1)
        assert (waiting.done(), upstream.calls) == (False, 0)
        clock.advance(20)
        outcome = await waiting
        assert isinstance(outcome, OpenGrant)
        assert (upstream_of(outcome.grant).access_token, upstream.calls) == ("a1", 1)
        end.set()
        with pytest.raises(UpstreamUnavailable):
            await dead

    async def test_survive_a_leaseholder_who_comes_late_and_is_refused(
        self, replicas: list[Vault], asked: list[Renew], upstream: Upstream, clock: ManualClock
    ) -> None:
        opened = await logged_in(replicas[0], upstream=upstream.tokens())
        clock.advance(600)
        late = asyncio.Event()

        async def refused(_: UpstreamTokens, __: Identity) -> Renewed:
            await late.wait()
            raise UpstreamRefused("invalid_grant")

        asked[0] = refused
        slow = asyncio.create_task(use(replicas[0], opened))
        await asyncio.sleep(0.05)
        clock.advance(20)
        assert isinstance(await use(replicas[1], opened), OpenGrant)
        late.set()
        outcome = await slow
        assert isinstance(outcome, OpenGrant)
        assert upstream_of(outcome.grant).access_token == "a1"
