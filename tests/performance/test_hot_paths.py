"""The hot paths cost no more than what is recorded, in counts that repeat (not in seconds)."""

import os
import subprocess
import sys

import pytest
from benchmarks.hot_paths import PYTHON, Cost, grown, recorded

NAMES = {
    "verify",
    "bearer",
    "gateway",
    "gateway_post",
    "gateway_post_in_two_reads",
    "forward_auth",
    "refresh",
    "login",
    "revocation",
    "middleware",
}


def test_no_hot_path_costs_a_tenth_more_than_recorded() -> None:
    """If it fails, make the path cheaper, or record the new figure: the message says how."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hot_paths", "--check"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_each_supported_python_has_its_figures(version: str) -> None:
    assert recorded()[version].keys() == NAMES


def test_growth_by_more_than_a_tenth_is_found() -> None:
    before = {"verify": Cost(1000, 1000), "gateway": Cost(1000, 1000)}
    now = {"verify": Cost(1100, 900), "gateway": Cost(1101, 1200)}
    assert grown(now, before) == [
        "gateway: 1101 instructions, +10% (recorded: 1000)",
        "gateway: 1200 peak_bytes, +20% (recorded: 1000)",
    ]


def test_this_python_is_one_of_those() -> None:
    """A newer Python needs figures of its own, or nothing is compared there."""
    assert PYTHON in recorded()
