"""A grant that ends in a list, where nobody can decrypt it: its upstream tokens are reported later.

Its secret makes that possible: a token of its client, or another process that
has it in its cache.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import pytest

from mintage.errors import StoreUnavailable
from mintage.grants import handles, records
from mintage.grants.handles import Handle
from mintage.grants.states import Reason, UpstreamTokens
from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import Store
from mintage.testing.clock import ManualClock
from mintage.vault.cache import GrantCache
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.faulty_store import FaultyStore
from tests.support.logins import (
    CLIENT,
    NEW,
    OLD,
    logged_in,
    new_code,
    redeem,
    rotate,
    use,
    vault_on,
)
from tests.vault.test_listing import stores_at_hand

__all__ = ["stores_at_hand"]

ENDED = Refused(Reason.REVOKED)


class House:
    """Two processes on one store. *reported*: by which of them which token was."""

    def __init__(self, stores: list[Store], clock: ManualClock) -> None:
        self.reported: list[str] = []
        self.one, self.other = (
            vault_on(store, clock, ended=self._note, cache=GrantCache(clock=clock))
            for store in stores[:2]
        )

    def _note(self, tokens: UpstreamTokens) -> None:
        self.reported.append(tokens.access_token)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(3_000_000_000)


@pytest.fixture
def house(clock: ManualClock) -> House:
    return House([MemoryStore(clock=clock)] * 2, clock)


async def end_all(vault: Vault) -> None:
    for grant in [grant async for grant in vault.listing.find()]:
        await vault.revocation.end(grant)


async def by_access_token(vault: Vault, opened: OpenGrant) -> OpenGrant | Refused:
    return await use(vault, opened)


async def by_refresh_token(vault: Vault, opened: OpenGrant) -> OpenGrant | Refused:
    return await rotate(vault, opened)


async def by_revocation(vault: Vault, opened: OpenGrant) -> OpenGrant | Refused:
    return await vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)


async def by_a_check(vault: Vault, opened: OpenGrant) -> OpenGrant | Refused:
    assert not await vault.holds(opened.secret, CLIENT)
    return ENDED


@pytest.mark.parametrize(
    "presented", [by_access_token, by_refresh_token, by_revocation, by_a_check]
)
async def test_its_tokens_are_reported_when_its_client_comes_again(
    house: House, presented: Callable[[Vault, OpenGrant], Awaitable[OpenGrant | Refused]]
) -> None:
    opened = await logged_in(house.one)
    await end_all(house.other)
    assert house.reported == []
    assert await presented(house.one, opened) == ENDED
    assert house.reported == ["upstream token of alice"]
    for _ in range(2):
        assert await presented(house.other, opened) == ENDED
    assert house.reported == ["upstream token of alice"]


async def test_they_are_reported_when_its_code_comes(house: House, clock: ManualClock) -> None:
    code = await new_code(house.one, at=int(clock()))
    await end_all(house.other)
    assert await redeem(house.one, code) == ENDED
    assert house.reported == ["upstream token of alice"]


@pytest.mark.parametrize("stores_at_hand", ["memory", "sqlite"], indirect=True)
async def test_of_many_requests_in_two_processes_one_reports(
    stores_at_hand: list[Store], clock: ManualClock
) -> None:
    house = House(stores_at_hand, clock)
    opened = await logged_in(house.one)
    await end_all(house.other)
    vaults = [house.one, house.other] * 10
    outcomes = await asyncio.gather(*(rotate(vault, opened) for vault in vaults))
    assert set(outcomes) == {ENDED}
    assert house.reported == ["upstream token of alice"]


@pytest.mark.parametrize(
    "stores_at_hand",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ],
    indirect=True,
)
async def test_a_process_that_has_it_in_its_cache_reports_it_at_once(
    clock: ManualClock, stores_at_hand: list[Store]
) -> None:
    house = House(stores_at_hand, clock)
    watching = asyncio.create_task(house.one.watch())
    opened = await logged_in(house.one)
    await asyncio.sleep(0.3)  # the watcher is listening
    assert isinstance(await use(house.one, opened), OpenGrant)
    await end_all(house.other)
    for _ in range(100):
        if house.reported:
            break
        await asyncio.sleep(0.05)
    watching.cancel()
    assert house.reported == ["upstream token of alice"]
    assert await use(house.one, opened) == ENDED
    assert await rotate(house.other, opened) == ENDED
    assert house.reported == ["upstream token of alice"]


async def test_the_process_that_ends_it_reports_what_it_has_in_its_own_cache(house: House) -> None:
    opened = await logged_in(house.one)
    assert isinstance(await use(house.one, opened), OpenGrant)
    await end_all(house.one)
    assert house.reported == ["upstream token of alice"]
    assert await use(house.other, opened) == ENDED
    assert house.reported == ["upstream token of alice"]


async def test_ending_it_twice_loses_nothing(house: House) -> None:
    """Two pages, two clicks."""
    opened = await logged_in(house.one)
    [listed] = [grant async for grant in house.one.listing.find()]
    await house.one.revocation.end(listed)
    await house.other.revocation.end(listed)
    assert await use(house.one, opened) == ENDED
    assert house.reported == ["upstream token of alice"]


async def test_a_grant_that_gives_way_to_newer_ones_keeps_its_tokens(clock: ManualClock) -> None:
    """Many providers would end the user's other logins with them."""
    reported: list[UpstreamTokens] = []
    vault = vault_on(MemoryStore(clock=clock), clock, ended=reported.append, max_grants=1)
    old, new = await logged_in(vault, at=1), await logged_in(vault, at=2)
    assert isinstance(await use(vault, old), Refused)
    assert isinstance(await use(vault, new), OpenGrant)
    assert reported == []


@pytest.mark.parametrize("fault", ["failing", "losing"])
async def test_a_store_that_fails_puts_the_report_off(clock: ManualClock, fault: str) -> None:
    store = FaultyStore(clock)
    house = House([store, store], clock)
    opened = await logged_in(house.one)
    await end_all(house.other)

    replace = store.replace

    async def fails(*arguments: object) -> None:
        if fault == "losing":
            await replace(*arguments)
        raise StoreUnavailable("the disk is gone")

    store.replace = fails  # type: ignore[method-assign]
    assert await use(house.one, opened) == ENDED
    assert house.reported == []
    store.replace = replace  # type: ignore[method-assign]
    assert await use(house.one, opened) == ENDED
    assert house.reported == ["upstream token of alice"]


async def test_a_process_that_asks_no_provider_leaves_the_report_to_others(
    clock: ManualClock,
) -> None:
    """Such as `mintage token inspect`."""
    store = MemoryStore(clock=clock)
    house = House([store, store], clock)
    opened = await logged_in(house.one)
    await end_all(house.other)
    for _ in range(2):
        assert await use(vault_on(store, clock), opened) == ENDED
    assert await use(house.one, opened) == ENDED
    assert house.reported == ["upstream token of alice"]


async def test_what_stays_in_the_store_opens_with_the_grants_secret_alone(
    clock: ManualClock,
) -> None:
    """Not with the server's, which an operator or a thief may have."""
    store = MemoryStore(clock=clock)
    house = House([store, store], clock)
    opened = await logged_in(house.one)
    await end_all(house.other)
    key = handles.store_key(opened.secret)
    seen = await store.load(key)
    assert seen is not None
    assert b"upstream token" not in seen.record
    with_another = OpenGrant(secrets.token_bytes(16), opened.grant)
    assert await use(house.one, with_another) == Refused(Reason.UNKNOWN)
    assert [row.index async for row in store.rows()] == [None]


async def test_after_the_secret_was_replaced_they_are_still_reported(clock: ManualClock) -> None:
    reported: list[UpstreamTokens] = []
    store = MemoryStore(clock=clock)
    opened = await logged_in(vault_on(store, clock))
    new = vault_on(store, clock, NEW, former_keys=[OLD], ended=reported.append)
    await end_all(new)
    assert await use(new, opened) == ENDED
    assert [tokens.access_token for tokens in reported] == ["upstream token of alice"]


async def test_without_the_secret_it_is_under_it_has_ended_all_the_same(clock: ManualClock) -> None:
    """And is reported once the secret is back."""
    reported: list[UpstreamTokens] = []
    store = MemoryStore(clock=clock)
    opened = await logged_in(vault_on(store, clock), at=int(clock()))
    await end_all(vault_on(store, clock))
    assert await use(vault_on(store, clock, NEW, ended=reported.append), opened) == ENDED
    assert reported == []
    back = vault_on(store, clock, NEW, former_keys=[OLD], ended=reported.append)
    assert await use(back, opened) == ENDED
    assert [tokens.access_token for tokens in reported] == ["upstream token of alice"]


def test_a_record_that_was_set_aside_is_told_from_all_others() -> None:
    head = records.Head.make(b"abcd", b"efgh").raw
    record = head + bytes(range(60))
    aside = records.set_aside(record)
    assert records.inside(aside) == record
    assert records.inside(record) is None
    assert records.set_aside(aside) == aside
    over = records.Head.make(b"abcd", records.NO_TOKENS).raw + bytes(range(60))
    assert records.inside(over) is None
    assert records.inside(records.SETTLED) is None
