"""A run of the benchmarks ends with each aim, and says truly which were reached."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.aims import RECORD, Aim, table, tell, told

RATIO = Aim("gateway, GET", 0.77, 0.8, bound="0.9 without a login")
TIME = Aim("a login", 4.1, 4, "ms", at_most=True)


@pytest.mark.parametrize(
    "aim",
    [
        Aim("as high", 0.8, 0.8),
        Aim("more", 3001, 3000, "/s"),
        Aim("as low", 4, 4, "ms", at_most=True),
        Aim("faster", 3.9, 4, "ms", at_most=True),
    ],
    ids=lambda aim: aim.what,
)
def test_a_rate_reaches_at_least_its_aim_and_a_time_at_most(aim: Aim) -> None:
    assert aim.reached


@pytest.mark.parametrize("aim", [RATIO, TIME], ids=lambda aim: aim.what)
def test_a_lower_rate_and_a_longer_time_miss_it(aim: Aim) -> None:
    assert not aim.reached


def test_the_table_says_what_was_measured_and_what_bounds_it() -> None:
    assert table(
        [RATIO, TIME, Aim("kept", 0.804, 0.85, "%"), Aim("revoke", 2990.4, 3000, "/s")]
    ) == (
        "| what | measured | aim | |\n"
        "|---|---:|---:|---|\n"
        "| gateway, GET | 0.77 × | at least 0.8 × | missed; 0.9 without a login |\n"
        "| a login | 4.1 ms | at most 4 ms | missed |\n"
        "| kept | 80% | at least 85% | missed |\n"
        "| revoke | 2,990/s | at least 3,000/s | missed |"
    )


@pytest.mark.parametrize(
    ("aim", "row"),
    [
        (Aim("a", 0.7996, 0.8), "| a | 0.7996 × | at least 0.8 × | missed |"),
        (Aim("a", 0.846, 0.85, "%"), "| a | 84.6% | at least 85.0% | missed |"),
        (Aim("a", 0.8, 0.8), "| a | 0.8 × | at least 0.8 × | reached |"),
    ],
)
def test_what_is_missed_by_little_does_not_look_reached(aim: Aim, row: str) -> None:
    assert aim.row() == row


def test_what_is_told_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "aims"
    monkeypatch.setenv(RECORD, str(file))
    tell(RATIO)
    tell(TIME, RATIO)
    assert told(file) == [RATIO, TIME, RATIO]


def run(tmp_path: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *names],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )


def test_one_that_fails_is_named_and_the_others_still_run(tmp_path: Path) -> None:
    done = run(tmp_path, "peers", "dpop")  # "peers" wants arguments
    assert done.returncode == 1
    assert "The benchmark peers failed" in done.stderr
    assert "| DPoP: a proof, its key known, against bare ES256 verification |" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_none_is_said_with_those_there_are(tmp_path: Path) -> None:
    done = run(tmp_path, "dopp")
    assert done.returncode == 2
    assert "there is no benchmark dopp; there are: kernel, dpop," in done.stderr
