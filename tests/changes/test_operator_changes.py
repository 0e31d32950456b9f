"""A short round of ``python -m stress.changes``: every change once, on each store."""

import random

import pytest
from stress.changes import run_changes
from stress.operator_changes import CHANGES


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "store",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ],
)
async def test_no_change_makes_a_client_wrong_or_lets_anybody_in(
    store: str, request: pytest.FixtureRequest, tmp_path: object
) -> None:
    url = f"sqlite://{tmp_path}/store.db" if store == "sqlite" else request.getfixturevalue(store)
    seed = random.SystemRandom().randrange(10**6)
    ledger = await run_changes(url, changes=len(CHANGES), users=4, pause=0.5, seed=seed)
    assert ledger.wrong == [], f"seed {seed}"
    for earned in ("call: yes", "refresh: yes", "redeem: yes", "revoke: yes"):
        assert ledger.answers[earned] > 0
