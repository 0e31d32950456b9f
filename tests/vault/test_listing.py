"""Which grants there are, and an end to them without their own secrets."""

from collections.abc import AsyncIterator

import pytest

from mintage import handles
from mintage.grant import Reason
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.values import Listed, Opened, Refused
from mintage.vault.vault import Vault
from tests.vault.grants import IDP, logged_in, new_code, redeem, use, vault_on

IDE, CHAT = ClientId("ide"), ClientId("chat")
GONE = Refused(Reason.UNKNOWN)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def vault(store: MemoryStore, clock: ManualClock) -> Vault:
    return vault_on(store, clock, max_grants=3)


async def all_of(found: AsyncIterator[Listed]) -> set[tuple[str, str]]:
    summaries = [grant.summary async for grant in found]
    return {(who.subject, who.client_id) for who in summaries if who is not None}


async def everybody(vault: Vault) -> dict[tuple[str, str], Opened]:
    pairs = [("alice", IDE), ("alice", CHAT), ("bob", IDE)]
    return {(user, client): await logged_in(vault, user, client) for user, client in pairs}


async def test_grants_are_found_by_subject_by_client_by_both_and_all(vault: Vault) -> None:
    pairs = set(await everybody(vault))
    find = vault.listing.find
    alice, bob = (IDP, "alice"), (IDP, "bob")
    assert await all_of(find()) == pairs
    assert await all_of(find(subject=alice)) == {("alice", IDE), ("alice", CHAT)}
    assert await all_of(find(client=IDE)) == {("alice", IDE), ("bob", IDE)}
    assert await all_of(find(subject=bob, client=IDE)) == {("bob", IDE)}
    assert await all_of(find(subject=bob, client=CHAT)) == set()
    assert await all_of(find(subject=("https://other.example", "alice"))) == set()


async def test_a_list_tells_who_and_since_when_and_nothing_that_opens(vault: Vault) -> None:
    opened = await logged_in(vault, "alice", IDE, at=17, email="alice@example.com")
    [listed] = [grant async for grant in vault.listing.find()]
    assert listed.id == handles.grant_id(handles.store_key(opened.secret))
    assert listed.summary is not None
    assert (listed.summary.created_at, listed.summary.name) == (17, "alice@example.com")
    assert "upstream token" not in repr(listed)


async def test_an_ended_grant_opens_nowhere_at_once(vault: Vault) -> None:
    logins = await everybody(vault)
    assert isinstance(await use(vault, logins["bob", IDE]), Opened)  # and is in the cache now
    async for grant in vault.listing.find(subject=(IDP, "bob")):
        await vault.listing.end(grant)
    assert await use(vault, logins["bob", IDE]) == GONE
    assert isinstance(await use(vault, logins["alice", IDE]), Opened)


async def test_a_grant_is_found_by_its_public_id(vault: Vault) -> None:
    for opened in (await everybody(vault)).values():
        name = handles.grant_id(handles.store_key(opened.secret))
        found = await vault.listing.get(name)
        assert found is not None
        assert found.id == name


@pytest.mark.parametrize("name", ["", "no such id", "a" * 16, "é", "a" * 15, "=" * 16])
async def test_a_name_of_no_grant_finds_none(vault: Vault, name: str) -> None:
    await everybody(vault)
    assert await vault.listing.get(name) is None


async def test_a_revoked_grant_is_not_listed_while_its_record_lasts(
    vault: Vault, store: MemoryStore
) -> None:
    opened = await logged_in(vault)
    await vault.revoke(handles.Handle(opened.secret, 1, "access"), opened.grant.login.client_id)
    assert len(store) == 1
    assert await all_of(vault.listing.find()) == set()


async def test_one_login_too_many_at_a_client_ends_the_oldest(vault: Vault) -> None:
    logins = [await logged_in(vault, "alice", IDE, at=100 - n) for n in range(4)]
    others = await logged_in(vault, "alice", CHAT), await logged_in(vault, "bob", IDE)
    outcomes = [await use(vault, login) for login in logins]
    assert outcomes[2] == GONE  # the oldest of those that were there
    assert [isinstance(outcome, Opened) for outcome in outcomes] == [True, True, False, True]
    assert all([isinstance(await use(vault, other), Opened) for other in others])


async def test_logins_that_were_never_redeemed_count_too(vault: Vault, clock: ManualClock) -> None:
    codes = [await new_code(vault, "alice", IDE, at=n) for n in range(5)]
    outcomes = [isinstance(await redeem(vault, code, IDE), Opened) for code in codes]
    assert outcomes == [False, False, True, True, True]
    clock.advance(10**7)
    assert await all_of(vault.listing.find()) == set()


async def test_a_name_that_was_tampered_with_is_passed_over(
    vault: Vault, store: MemoryStore
) -> None:
    await everybody(vault)
    row = next(iter(store._rows.values()))
    assert row.index is not None
    row.index = type(row.index)(row.index.subject, row.index.client, b"\0" * 60)
    assert len(await all_of(vault.listing.find())) == 2
