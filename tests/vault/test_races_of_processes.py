"""Four processes at one grant at one time, on every store; `stress.races` is the long run."""

from pathlib import Path

import pytest
from stress.races import RACES, run_races

ROUNDS = 200


@pytest.mark.parametrize(
    "place",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ],
)
def test_of_racing_processes_one_wins_and_no_session_is_lost(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite://{tmp_path}/store.db" if place == "sqlite" else request.getfixturevalue(place)
    tallies = list(run_races(place, url, ROUNDS))
    assert [tally.race for tally in tallies] == list(RACES)
    for tally in tallies:
        assert tally.rounds >= ROUNDS
        assert (tally.doubles, tally.resurrected, tally.lost or 0) == (0, 0, 0), tally
        assert tally.met > ROUNDS // 20, "they hardly raced"
