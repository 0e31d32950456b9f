"""Replicas on one store whose clocks differ by up to five seconds (ATTACKS D12)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mintage.grants.states import Reason
from mintage.stores.opening import open_store
from mintage.testing.clock import ManualClock
from mintage.vault.values import Lifetimes, OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.logins import new_code, redeem, rotate, use, vault_on

NOW = 3_000_000_000
SKEW = 5
LIFETIMES = Lifetimes()
ENGINES = [
    "sqlite",
    pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
    pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
]


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/store.db"
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def replicas(url: str) -> AsyncIterator[list[tuple[Vault, ManualClock]]]:
    """One whose clock is right, one that is late, one that is early."""
    clocks = [ManualClock(NOW + offset) for offset in (0, -SKEW, SKEW)]
    stores = [await open_store(url, clock=clock) for clock in clocks]
    yield [(vault_on(store, clock), clock) for store, clock in zip(stores, clocks, strict=True)]
    for store in stores:
        await store.close()


async def test_attack_d12_what_one_replica_gives_the_others_take(
    replicas: list[tuple[Vault, ManualClock]],
) -> None:
    for giver, _ in replicas:
        for taker, _ in replicas:
            opened = await redeem(taker, await new_code(giver, at=NOW))
            assert isinstance(opened, OpenGrant)
            for generation in range(1, 4):
                rotated = await rotate(replicas[generation % 3][0], opened, generation)
                assert isinstance(rotated, OpenGrant), generation
                assert rotated.grant.generation == generation + 1
                assert isinstance(await use(giver, opened), OpenGrant)


async def test_attack_d12_a_grant_ends_for_all_within_the_skew(
    replicas: list[tuple[Vault, ManualClock]],
) -> None:
    """After its last refresh it lives for its lifetime, by the clock of whoever is asked."""
    opened = await redeem(replicas[0][0], await new_code(replicas[0][0], at=NOW))
    assert isinstance(opened, OpenGrant)
    for elapsed, lives in ((LIFETIMES.refresh - SKEW - 1, True), (LIFETIMES.refresh + SKEW, False)):
        for vault, clock in replicas:
            clock.now += elapsed
            outcome = await use(vault, opened)
            clock.now -= elapsed
            assert isinstance(outcome, OpenGrant) is lives, elapsed
    assert outcome == Refused(Reason.UNKNOWN)
