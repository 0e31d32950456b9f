"""A store that is away, slow, or dies between the write and its word: nobody pays for it."""

import asyncio

import pytest

from mintage.errors import StoreUnavailable
from mintage.grants.handles import Handle
from mintage.grants.states import Reason
from mintage.testing.clock import ManualClock
from mintage.vault import stored_grants
from mintage.vault.cache import GrantCache
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.faulty_store import FOREVER, FaultyStore
from tests.support.logins import CLIENT, logged_in, new_code, redeem, rotate, use, vault_on


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> FaultyStore:
    return FaultyStore(clock)


@pytest.fixture
def vault(store: FaultyStore, clock: ManualClock) -> Vault:
    return vault_on(store, clock, cache=GrantCache(clock=clock, ttl=5, outage=30))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_grants, "_FIRST_PAUSE", 0.001)


class TestAWriteWhoseAnswerWasLost:
    @pytest.mark.parametrize("trouble", ["failing", "losing"])
    async def test_is_settled_before_the_client_hears_of_it(
        self, store: FaultyStore, vault: Vault, trouble: str
    ) -> None:
        setattr(store, trouble, 1)
        code = await new_code(vault)
        setattr(store, trouble, 1)
        opened = await redeem(vault, code)
        assert isinstance(opened, OpenGrant)
        setattr(store, trouble, 1)
        refreshed = await rotate(vault, opened)
        assert isinstance(refreshed, OpenGrant)
        assert refreshed.grant.generation == 2
        setattr(store, trouble, 1)
        await vault.revocation.revoke(Handle(opened.secret, 2, "refresh"), CLIENT)
        assert await use(vault, opened) == Refused(Reason.REVOKED)

    @pytest.mark.parametrize("trouble", ["failing", "losing"])
    async def test_a_claim_is_neither_lost_nor_given_twice(
        self, store: FaultyStore, vault: Vault, clock: ManualClock, trouble: str
    ) -> None:
        setattr(store, trouble, 1)
        end = int(clock()) + 60
        assert await vault.single_use.claim(b"login", expires_at=end)
        assert not await vault.single_use.claim(b"login", expires_at=end)

    async def test_a_code_that_was_spent_unheard_is_no_replay(
        self, store: FaultyStore, vault: Vault
    ) -> None:
        """The write was done and the store then gone for longer than anybody waits."""
        code = await new_code(vault)
        store.losing, store.dying = 1, True
        with pytest.raises(StoreUnavailable):
            await redeem(vault, code)
        store.failing = 0
        assert isinstance(await redeem(vault, code), OpenGrant)
        replayed = await redeem(vault, code)
        assert isinstance(replayed, Refused)
        assert replayed.reason == Reason.CODE_REPLAYED

    async def test_an_unheard_redemption_helps_nobody_without_the_verifier(
        self, store: FaultyStore, vault: Vault
    ) -> None:
        code = await new_code(vault)
        store.losing, store.dying = 1, True
        with pytest.raises(StoreUnavailable):
            await redeem(vault, code)
        store.failing = 0
        stolen = await redeem(vault, code, verifier="w" * 43)
        assert isinstance(stolen, Refused)
        assert isinstance(await redeem(vault, code), Refused)

    async def test_an_unheard_refresh_is_no_reuse_however_late(
        self, store: FaultyStore, vault: Vault, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault)
        store.losing, store.dying = 1, True
        with pytest.raises(StoreUnavailable):
            await rotate(vault, opened)
        store.failing = 0
        clock.advance(1000)  # far beyond the grace
        again = await rotate(vault, opened)
        assert isinstance(again, OpenGrant)
        assert again.grant.generation == 2


class TestAnAccessToken:
    async def test_works_through_an_outage_for_as_long_as_is_stated(
        self, store: FaultyStore, vault: Vault, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault)
        await use(vault, opened)
        store.failing = FOREVER
        for _ in range(34):
            clock.advance(1)
            assert isinstance(await use(vault, opened), OpenGrant)
        clock.advance(1)
        with pytest.raises(StoreUnavailable):
            await use(vault, opened)
        store.failing = 0
        clock.advance(3)
        assert isinstance(await use(vault, opened), OpenGrant)

    async def test_that_was_not_used_just_before_gets_an_outage(
        self, store: FaultyStore, vault: Vault
    ) -> None:
        opened = await logged_in(vault)
        store.failing = FOREVER
        with pytest.raises(StoreUnavailable):
            await use(vault, opened)

    async def test_revoked_before_the_outage_stays_revoked_in_it(
        self, store: FaultyStore, vault: Vault
    ) -> None:
        opened = await logged_in(vault)
        await use(vault, opened)
        await vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)
        assert await use(vault, opened) == Refused(Reason.REVOKED)
        store.failing = FOREVER
        with pytest.raises(StoreUnavailable):
            await use(vault, opened)

    async def test_is_not_trusted_on_memory_once_a_change_was_heard_of(
        self, store: FaultyStore, vault: Vault
    ) -> None:
        """A revocation whose fate is not known is a revocation."""
        opened = await logged_in(vault)
        await use(vault, opened)
        store.losing, store.dying = 1, True
        with pytest.raises(StoreUnavailable):
            await vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)
        with pytest.raises(StoreUnavailable):
            await use(vault, opened)

    async def test_does_not_wait_for_a_store_that_hangs(
        self, store: FaultyStore, vault: Vault, clock: ManualClock
    ) -> None:
        opened = await logged_in(vault)
        await use(vault, opened)
        clock.advance(6)
        store.arrive.clear()
        async with asyncio.timeout(20):
            assert isinstance(await use(vault, opened), OpenGrant)
        asked = store.seen["load"]
        assert isinstance(await use(vault, opened), OpenGrant)
        assert store.seen["load"] == asked
        store.arrive.set()


async def test_a_store_that_takes_long_to_fail_is_not_asked_again(
    store: FaultyStore, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await logged_in(vault)
    monkeypatch.setattr(stored_grants, "_PATIENCE", 0.0)
    store.failing = FOREVER
    store.seen.clear()
    with pytest.raises(StoreUnavailable):
        await rotate(vault, opened)
    assert store.seen["load"] == 1


async def test_a_failing_store_is_left_alone_for_a_moment(
    store: FaultyStore, vault: Vault, clock: ManualClock
) -> None:
    opened = await logged_in(vault)
    store.failing = FOREVER
    store.seen.clear()
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            await use(vault, opened)
    assert store.seen["load"] == 1
    for _ in range(20):
        clock.advance(2.1)
        with pytest.raises(StoreUnavailable):
            await use(vault, opened)
    assert store.seen["load"] == 21
    store.failing = 0
    clock.advance(2.1)
    assert isinstance(await use(vault, opened), OpenGrant)


async def test_missed_news_make_a_grant_doubtful_not_forgotten(
    store: FaultyStore, vault: Vault, clock: ManualClock
) -> None:
    opened = await logged_in(vault)
    await use(vault, opened)
    loads = store.seen["load"]
    vault._memory.cache.doubt()
    await use(vault, opened)
    assert store.seen["load"] == loads + 1
    vault._memory.cache.doubt()
    store.failing = FOREVER
    assert isinstance(await use(vault, opened), OpenGrant)
