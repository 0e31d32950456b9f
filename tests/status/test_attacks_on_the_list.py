"""Nobody stays valid by the status list after the end, and nobody ends with somebody else."""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mintage.errors import StoreUnavailable, UpstreamRefused
from mintage.grants.handles import Handle
from mintage.grants.states import Active, UpstreamTokens
from mintage.grants.status import Slot
from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import Store
from mintage.testing.clock import ManualClock
from mintage.vault.status_slots import BLOCK, StatusSlots
from mintage.vault.values import Lifetimes, OpenGrant
from mintage.vault.vault import Vault
from tests.support.logins import CLIENT, IDP, NEW, new_code, redeem, rotate, vault_on

SIZE = 64 * BLOCK
ACCESS = 3600


class Replica:
    """A vault with a status list, as one process has it."""

    def __init__(self, store: Store, clock: ManualClock, **more: Any) -> None:
        self.clock = clock
        self.slots = slots_on(store, clock)
        lifetimes = Lifetimes(access=ACCESS, session=90 * 86400)
        self.vault = vault_on(store, clock, status=self.slots, lifetimes=lifetimes, **more)

    async def is_ended(self, slot: Slot) -> bool:
        """Whether the list says so, a second later."""
        self.clock.advance(1)
        bits = (await self.slots.ended()).bits
        return bool(bits[slot.idx // 8] >> slot.idx % 8 & 1)


def slots_on(store: Store, clock: ManualClock, size: int = SIZE) -> StatusSlots:
    return StatusSlots(
        store,
        size=size,
        access=ACCESS,
        clock=clock,
        steady=clock,
        random_bytes=secrets.token_bytes,
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


async def logged_in(vault: Vault, at: int, **more: Any) -> tuple[str, OpenGrant]:
    code = await new_code(vault, at=at, **more)
    opened = await redeem(vault, code)
    assert isinstance(opened, OpenGrant)
    return code, opened


def slots_of(opened: OpenGrant) -> tuple[Slot, ...]:
    assert isinstance(opened.grant, Active)
    return opened.grant.slots


async def no(_: object, __: object) -> Any:
    raise UpstreamRefused("invalid_grant")


async def revoked(vault: Vault, code: str, opened: OpenGrant) -> None:
    await vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)


async def code_replayed(vault: Vault, code: str, opened: OpenGrant) -> None:
    await redeem(vault, code)


async def reused(vault: Vault, code: str, opened: OpenGrant) -> None:
    for generation in (1, 2, 1):
        await rotate(vault, opened, generation)


async def ended_by_an_operator(vault: Vault, code: str, opened: OpenGrant) -> None:
    async for each in vault.listing.find():
        await vault.revocation.end(each)


async def logged_out_at_the_provider(vault: Vault, code: str, opened: OpenGrant) -> None:
    await vault.revocation.end_at_provider(IDP, subject="alice", sid=None)


async def refused_by_the_provider(vault: Vault, code: str, opened: OpenGrant) -> None:
    await vault.with_fresh_upstream(opened)


async def pushed_out_by_a_newer_login(vault: Vault, code: str, opened: OpenGrant) -> None:
    await new_code(vault, at=2_000_000_000)


async def turned_away_by_new_rules(vault: Vault, code: str, opened: OpenGrant) -> None:
    vault._admission._admits = lambda _: False
    vault.live.judge_again()
    await vault.live.authenticate(Handle(opened.secret, 1, "access"))


WAYS: list[Callable[[Vault, str, OpenGrant], Awaitable[None]]] = [
    revoked,
    code_replayed,
    reused,
    ended_by_an_operator,
    logged_out_at_the_provider,
    refused_by_the_provider,
    pushed_out_by_a_newer_login,
    turned_away_by_new_rules,
]


@pytest.mark.parametrize("end", WAYS, ids=lambda way: way.__name__)
async def test_attack_f83_each_way_to_end_is_in_the_list_of_another_replica(
    end: Callable[[Vault, str, OpenGrant], Awaitable[None]],
    store: MemoryStore,
    clock: ManualClock,
) -> None:
    here = Replica(store, clock, max_grants=1, renew=no)
    there = Replica(store, clock)
    upstream = UpstreamTokens(
        access_token="a", refresh_token="r", expires_at=int(clock()) - 1, issuer=IDP
    )
    code, opened = await logged_in(here.vault, int(clock()), upstream=upstream)
    (slot,) = slots_of(opened)
    assert not await there.is_ended(slot)
    clock.advance(120)
    await end(here.vault, code, opened)
    assert await there.is_ended(slot)


async def test_attack_f83_a_grant_that_nobody_here_can_read_ends_in_the_list(
    store: MemoryStore, clock: ManualClock
) -> None:
    """An operator ends it without the secret that it is encrypted under."""
    theirs = Replica(store, clock)
    _, opened = await logged_in(theirs.vault, int(clock()))
    ours = Replica(store, clock, keys=NEW)
    (listed,) = [each async for each in ours.vault.listing.find()]
    assert listed.unread is not None
    await ours.vault.revocation.end(listed)
    assert await ours.is_ended(slots_of(opened)[0])


async def test_attack_f83_a_refresh_while_an_operator_looks_does_not_save_its_token(
    store: MemoryStore, clock: ManualClock
) -> None:
    """The numbers are those of the record that the end replaces, not those of the list."""
    here = Replica(store, clock)
    _, opened = await logged_in(here.vault, int(clock()))
    clock.advance(4000)
    (listed,) = [each async for each in here.vault.listing.find()]
    newer = await rotate(here.vault, opened, 1)
    assert isinstance(newer, OpenGrant)
    first, second = slots_of(newer)
    assert first != second
    await here.vault.revocation.end(listed)
    assert await here.is_ended(first)
    assert await here.is_ended(second)


async def test_attack_f83_a_process_that_dies_in_the_middle_leaves_no_valid_token(
    store: MemoryStore, clock: ManualClock
) -> None:
    """The bit is first: if the end itself is not written, the token is refused elsewhere."""
    here = Replica(store, clock)
    _, opened = await logged_in(here.vault, int(clock()))
    replace = store.replace

    async def fails(key: bytes, *arguments: Any) -> None:
        if arguments[1][:1] == b"\x02" and len(arguments[1]) != 9 + BLOCK // 8:
            raise StoreUnavailable("it died")
        await replace(key, *arguments)

    store.replace = fails  # type: ignore[assignment,method-assign]
    with pytest.raises(StoreUnavailable):
        await here.vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)
    store.replace = replace  # type: ignore[method-assign]
    assert await here.is_ended(slots_of(opened)[0])


async def test_attack_f84_no_two_grants_have_one_number(
    store: MemoryStore, clock: ManualClock
) -> None:
    """Sixteen processes, all blocks but a few, and again hours later: never one twice at a time."""
    names: dict[int, int] = {}  # until when a number is taken
    for _ in range(3):
        for _ in range(16):
            slots = slots_on(store, clock)
            for _ in range(BLOCK):
                slot = await slots.take()
                assert names.get(slot.idx, 0) + 300 < clock()
                names[slot.idx] = slot.until
        clock.advance(3 * ACCESS)


async def test_attack_f84_a_full_list_gives_no_number_twice(
    store: MemoryStore, clock: ManualClock
) -> None:
    slots = slots_on(store, clock, size=BLOCK)
    for _ in range(BLOCK):
        await slots.take()
    with pytest.raises(StoreUnavailable, match="no free numbers"):
        await slots.take()


async def test_attack_f85_numbers_tell_neither_how_many_logins_there_are_nor_when(
    store: MemoryStore, clock: ManualClock
) -> None:
    slots = slots_on(store, clock)
    given = [(await slots.take()).idx for _ in range(200)]
    assert given != sorted(given)
    steps = {b - a for a, b in itertools.pairwise(given)}
    assert len(steps) > 100
    firsts = {(await slots_on(store, clock).take()).idx // BLOCK for _ in range(20)}
    assert sorted(firsts) != list(range(min(firsts), min(firsts) + 20))
    assert len((await slots.ended()).bits) == SIZE // 8
