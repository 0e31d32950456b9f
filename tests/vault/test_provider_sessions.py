"""Which grants end when a user logs out at the provider."""

import asyncio

import pytest

from mintage.errors import UpstreamRefused
from mintage.grants.states import UpstreamTokens
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.logins import IDP, NEW, OLD, new_code, redeem, rotate, use, vault_on

NOW = 1_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


async def log_in(vault: Vault, user: str, sid: str, *, at: int = NOW) -> OpenGrant:
    tokens = UpstreamTokens(access_token=f"of {user}", sid=sid)
    opened = await redeem(vault, await new_code(vault, user, at=at, upstream=tokens))
    assert isinstance(opened, OpenGrant)
    return opened


async def end_session(vault: Vault, sid: str) -> int:
    return len(await vault.revocation.end_at_provider(IDP, subject=None, sid=sid))


async def test_every_user_who_logged_in_during_the_session_is_logged_out(
    store: MemoryStore, clock: ManualClock
) -> None:
    """A browser that changes the account may keep its session at the provider."""
    vault = vault_on(store, clock)
    logins = await asyncio.gather(*(log_in(vault, f"user {n}", "s") for n in range(12)))
    other = await log_in(vault, "user 1", "another")
    assert await end_session(vault, "s") == 12
    assert {type(await use(vault, each)) for each in logins} == {Refused}
    assert isinstance(await use(vault, other), OpenGrant)
    assert await end_session(vault, "s") == 0


async def test_a_grant_that_a_logout_has_overtaken_is_not_made(
    store: MemoryStore, clock: ManualClock
) -> None:
    reported: list[str] = []
    vault = vault_on(store, clock, ended=lambda tokens: reported.append(tokens.access_token))
    clock.advance(5)
    await end_session(vault, "s")
    clock.advance(5)
    with pytest.raises(UpstreamRefused):
        await log_in(vault, "alice", "s", at=NOW)
    assert [each async for each in vault.listing.find()] == []
    assert reported == ["of alice"]
    assert isinstance(await log_in(vault, "alice", "s", at=NOW + 6), OpenGrant)


async def test_neither_is_one_of_a_user_who_was_logged_out_everywhere(
    store: MemoryStore, clock: ManualClock
) -> None:
    vault = vault_on(store, clock)
    clock.advance(5)
    await vault.revocation.end_at_provider(IDP, subject="alice", sid=None)
    for tokens in (UpstreamTokens(access_token="a"), UpstreamTokens(access_token="a", sid="s")):
        with pytest.raises(UpstreamRefused):
            await new_code(vault, "alice", at=NOW, upstream=tokens)
    assert await new_code(vault, "bob", at=NOW)
    assert await new_code(vault, "alice", at=NOW + 6)


async def test_sessions_are_found_while_a_secret_is_replaced_and_after(
    store: MemoryStore, clock: ManualClock
) -> None:
    alice = await log_in(vault_on(store, clock, OLD), "alice", "s1")
    await log_in(vault_on(store, clock, OLD), "bob", "s2")
    both = vault_on(store, clock, NEW, former_keys=[OLD])
    assert await end_session(both, "s2") == 1
    await rotate(both, alice)  # it is encrypted under the new secret now
    alone = vault_on(store, clock, NEW)
    assert await end_session(alone, "s1") == 1


async def test_a_session_that_can_not_be_read_costs_no_login(
    store: MemoryStore, clock: ManualClock
) -> None:
    vault = vault_on(store, clock)
    alice = await log_in(vault, "alice", "s")
    damaged = 0
    async for row in store.rows():
        if row.index is None:
            found = await store.load(row.key)
            assert found is not None
            await store.replace(row.key, found, b"x" * 40, row.expires_at)
            damaged += 1
    assert damaged == 1
    assert isinstance(await log_in(vault, "bob", "s"), OpenGrant)
    assert isinstance(await use(vault, alice), OpenGrant)


async def test_the_store_has_neither_the_session_nor_the_user_in_clear(
    store: MemoryStore, clock: ManualClock
) -> None:
    await log_in(vault_on(store, clock), "alice@example.com", "the-session-id")
    async for row in store.rows():
        index = row.index
        told = row.key + row.record + (b"" if index is None else index.subject + index.summary)
        assert b"alice" not in told
        assert b"the-session-id" not in told
