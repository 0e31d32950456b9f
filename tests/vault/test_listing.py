"""Which grants there are, and an end to them without their own secrets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from mintage.crypto.sealing import BoxKey, seal
from mintage.grants import handles
from mintage.grants.states import Reason
from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.values import Listed, OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.logins import IDP, OLD, logged_in, new_code, redeem, use, vault_on

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


async def everybody(vault: Vault) -> dict[tuple[str, str], OpenGrant]:
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


async def pages(vault: Vault, limit: int, user: str) -> list[list[str]]:
    """The ids of each page of those grants whose user the list itself can't look for."""
    found: list[list[str]] = []
    after = None
    while True:
        page, after = await vault.listing.page(
            matches=lambda grant: grant.summary is not None and grant.summary.subject == user,
            after=after,
            limit=limit,
        )
        found.append([grant.id for grant in page])
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_every_page_but_the_last_is_full(vault: Vault, limit: int) -> None:
    """However many other grants are between those that match."""
    for number in range(60):
        await logged_in(vault, "alice" if number % 10 == 0 else f"user {number}", at=number)
    await logged_in(vault, "alice", CHAT)
    alices = [grant.id async for grant in vault.listing.find(subject=(IDP, "alice"))]
    assert len(alices) == 4  # at one client a user has three at most
    found = await pages(vault, limit, "alice")
    assert [one for page in found for one in page] == alices
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert found[-1]


async def test_a_page_looks_at_so_many_grants_and_the_next_goes_on_there(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mintage.vault.listing._LOOKED_AT", 10)
    for number in range(40):
        await logged_in(vault, f"user {number}")
    alice = handles.grant_id(handles.store_key((await logged_in(vault, "alice")).secret))
    found = await pages(vault, 5, "alice")
    assert 2 <= len(found) <= 5
    assert [one for page in found for one in page] == [alice]


async def test_an_ended_grant_opens_nowhere_at_once(vault: Vault) -> None:
    logins = await everybody(vault)
    assert isinstance(await use(vault, logins["bob", IDE]), OpenGrant)  # and is in the cache now
    async for grant in vault.listing.find(subject=(IDP, "bob")):
        await vault.listing.end(grant)
    assert await use(vault, logins["bob", IDE]) == Refused(Reason.REVOKED)
    assert isinstance(await use(vault, logins["alice", IDE]), OpenGrant)


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
    await vault.revocation.revoke(
        handles.Handle(opened.secret, 1, "access"), opened.grant.login.client_id
    )
    assert len(store) == 1
    assert await all_of(vault.listing.find()) == set()


async def test_one_login_too_many_at_a_client_ends_the_oldest(vault: Vault) -> None:
    """The oldest by their order, whatever the clocks of the servers that wrote them say."""
    logins = [await logged_in(vault, "alice", IDE, at=100 - n) for n in range(4)]
    others = await logged_in(vault, "alice", CHAT), await logged_in(vault, "bob", IDE)
    outcomes = [await use(vault, login) for login in logins]
    assert outcomes[0] == GONE
    assert [isinstance(outcome, OpenGrant) for outcome in outcomes] == [False, True, True, True]
    assert all([isinstance(await use(vault, other), OpenGrant) for other in others])


async def test_logins_that_were_never_redeemed_count_too(vault: Vault, clock: ManualClock) -> None:
    codes = [await new_code(vault, "alice", IDE, at=n) for n in range(5)]
    outcomes = [isinstance(await redeem(vault, code, IDE), OpenGrant) for code in codes]
    assert outcomes == [False, False, True, True, True]
    clock.advance(10**7)
    assert await all_of(vault.listing.find()) == set()


@pytest.mark.parametrize("damage", ["name", "head", "newer record", "name of another form"])
async def test_what_can_not_be_read_is_listed_and_can_be_ended(
    vault: Vault, store: MemoryStore, damage: str
) -> None:
    """By its user, and among all: to end a grant takes its key alone."""
    await logged_in(vault, "alice", IDE)
    [(key, row)] = store._rows.items()
    assert row.index is not None
    record = row.versioned.record
    match damage:
        case "name":
            row.index = replace(row.index, summary=b"\0" * 60)
        case "head":
            row.versioned = replace(row.versioned, record=b"\2")
        case "newer record":
            row.versioned = replace(row.versioned, record=b"\xff" + record[1:])
        case _:
            other = seal(b"\xc0", key=BoxKey(OLD.seal), context=b"summary\0" + key, nonce=bytes(12))
            row.index = replace(row.index, summary=other)
    [found] = [grant async for grant in vault.listing.find(subject=(IDP, "alice"))]
    assert found.unread is not None
    assert not found.foreign
    assert [grant async for grant in vault.listing.find()] == [found]
    await vault.listing.end(found)
    assert [grant async for grant in vault.listing.find()] == []


@pytest.mark.parametrize("limit", [1, 3])
async def test_of_logins_at_once_the_newest_live_and_no_others(
    stores_at_hand: list[Store], clock: ManualClock, limit: int
) -> None:
    """On every store, from several processes, each with another clock."""
    vaults = []
    for number, store in enumerate(stores_at_hand):
        skewed = ManualClock(clock.now + number * 7)
        vaults.append(vault_on(store, skewed, max_grants=limit))
    codes = await asyncio.gather(
        *(new_code(vaults[n % len(vaults)], "alice", IDE, at=1000 - n % 3) for n in range(12))
    )
    opened = [await redeem(vaults[0], code, IDE) for code in codes]
    assert len([one for one in opened if isinstance(one, OpenGrant)]) == limit
    last = await redeem(vaults[-1], await new_code(vaults[-1], "alice", IDE, at=1), IDE)
    assert isinstance(last, OpenGrant), "a server whose clock is behind can log in too"
    live = [one for one in opened if isinstance(one, OpenGrant)]
    assert sum([isinstance(await use(vaults[0], one), OpenGrant) for one in live]) == limit - 1


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ]
)
async def stores_at_hand(
    request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[list[Store]]:
    """Three openings of one store."""
    match request.param:
        case "memory":
            stores: list[Store] = [MemoryStore(clock=clock)] * 3
        case "sqlite":
            url = f"sqlite://{tmp_path}/store.db"
            stores = [await open_store(url, clock=clock) for _ in range(3)]
        case name:
            url = request.getfixturevalue(name)
            stores = [await open_store(url, clock=clock) for _ in range(3)]
    yield stores
    for store in stores:
        await store.close()
