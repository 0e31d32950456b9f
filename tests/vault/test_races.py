"""Racing requests: of any number, one wins, and nobody loses a session."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mintage.grants.handles import Handle
from mintage.grants.states import Reason
from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.faulty_store import FaultyStore
from tests.support.logins import CLIENT, new_code, redeem, rotate, vault_on

ROUNDS = 250  # of those that need no server; 50 of those that do
RACERS = 10


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(3_000_000_000)  # ahead of the clocks of engines that have their own


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        "two openings of one sqlite file",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ]
)
async def stores(
    request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[list[Store]]:
    stores: list[Store]
    if request.param == "memory":
        stores = [MemoryStore(clock=clock)]
    elif request.param.endswith("_url"):
        url = request.getfixturevalue(request.param)
        stores = [await open_store(url, clock=clock) for _ in range(2)]
    else:
        openings = 2 if "two" in request.param else 1
        path = tmp_path / "store.db"
        stores = [await SQLiteStore.open(path, clock=clock) for _ in range(openings)]
    yield stores
    for store in stores:
        await store.close()


@pytest.fixture
def vaults(stores: list[Store], clock: ManualClock) -> list[Vault]:
    """One vault, or two replicas that share nothing but the file or the server."""
    return [vault_on(store, clock) for store in stores]


async def race(vaults: list[Vault], call: Any) -> list[OpenGrant | Refused]:
    racers = [call(vaults[n % len(vaults)]) for n in range(RACERS)]
    return list(await asyncio.gather(*racers))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return ROUNDS // 5 if "_url" in request.node.name else ROUNDS


async def test_attack_c01_ten_redemptions_of_one_code_open_one_grant(
    vaults: list[Vault], rounds: int
) -> None:
    successes: Counter[int] = Counter()
    for _ in range(rounds):
        code = await new_code(vaults[0])
        outcomes = await race(vaults, lambda vault, code=code: redeem(vault, code))
        successes[sum(isinstance(outcome, OpenGrant) for outcome in outcomes)] += 1
    assert successes == {1: rounds}


async def test_attack_c04_ten_refreshes_give_one_successor_to_all(
    vaults: list[Vault], rounds: int
) -> None:
    generations: Counter[tuple[int, ...]] = Counter()
    for _ in range(rounds // 10):
        opened = await redeem(vaults[0], await new_code(vaults[0]))
        assert isinstance(opened, OpenGrant)
        for generation in range(1, 11):
            outcomes = await race(
                vaults,
                lambda vault, opened=opened, generation=generation: rotate(
                    vault, opened, generation
                ),
            )
            assert all(isinstance(outcome, OpenGrant) for outcome in outcomes), outcomes
            got = {o.grant.generation for o in outcomes if isinstance(o, OpenGrant)}
            generations[tuple(g - generation for g in got)] += 1
    assert generations == {(1,): rounds}


async def test_who_asks_after_a_revocation_gets_no_answer_from_before_it(
    clock: ManualClock,
) -> None:
    """A load that was under way all the while is not joined."""
    store = FaultyStore(clock)
    vault = vault_on(store, clock)
    opened = await redeem(vault, await new_code(vault))
    assert isinstance(opened, OpenGrant)
    access = Handle(opened.secret, 1, "access")
    store.arrive.clear()
    before = asyncio.create_task(vault.live.authenticate(access))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    arrived, store.arrive = store.arrive, asyncio.Event()
    store.arrive.set()
    assert (await vault.revocation.revoke(access, CLIENT)).reason is Reason.CLIENT_REVOKED
    async with asyncio.timeout(5):
        assert await vault.live.authenticate(access) == Refused(Reason.REVOKED)
    arrived.set()
    assert isinstance(await before, OpenGrant)


async def test_a_revoked_grant_never_comes_back(vaults: list[Vault], rounds: int) -> None:
    """Revocation against refresh: whoever wins, in the end the grant is over."""
    for _ in range(rounds // 5):
        opened = await redeem(vaults[0], await new_code(vaults[0]))
        assert isinstance(opened, OpenGrant)
        handle = Handle(opened.secret, 1, "refresh")
        await asyncio.gather(
            *(rotate(vaults[n % len(vaults)], opened, 1) for n in range(RACERS // 2)),
            vaults[-1].revocation.revoke(handle, CLIENT),
            *(rotate(vaults[n % len(vaults)], opened, 1) for n in range(RACERS // 2)),
        )
        for vault in vaults:
            for generation in (1, 2):
                outcome = await rotate(vault, opened, generation)
                assert outcome == Refused(Reason.REVOKED)
