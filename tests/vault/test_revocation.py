"""A revocation reaches processes that have the grant in memory; `stress.revocation` times it."""

from pathlib import Path

import pytest
from stress.revocation import AT_99, BOUND, run_revocations

ROUNDS = 40


@pytest.mark.parametrize(
    "place",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ],
)
def test_another_process_hears_of_a_revocation(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """By news, and not just because its memory is over: that takes five seconds."""
    url = f"sqlite://{tmp_path}/store.db" if place == "sqlite" else request.getfixturevalue(place)
    latencies = run_revocations(place, url, ROUNDS)
    assert latencies.at(0.5) <= AT_99
    assert latencies.at(1) <= BOUND
    assert latencies.refreshes > 0


def test_without_news_memory_is_believed_for_five_seconds_at_most(tmp_path: Path) -> None:
    latencies = run_revocations("deaf", f"sqlite://{tmp_path}/store.db", ROUNDS, listening=False)
    assert AT_99 < latencies.at(1) <= BOUND
