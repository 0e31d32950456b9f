"""A second process with a store in memory says that it can't work."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mintage.stores.alone import alone

SECOND = """
import logging, sys
from mintage.stores.alone import alone
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
with alone(sys.argv[1]):
    pass
"""


def second(issuer: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SECOND, issuer], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_second_process_says_so_and_the_next_after_it_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    ours = "https://alone.example"
    with alone(ours):
        assert caplog.text == ""
        assert second(ours).startswith(f"ERROR another process serves {ours} with memory://")
        assert second("https://other.example") == ""
    assert second(ours) == ""


def test_nothing_is_left_after_an_orderly_end_and_a_killed_ones_file_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with alone("https://alone.example"):
        (lock,) = tmp_path.iterdir()
    assert not lock.exists()
    lock.touch(0o600)
    with alone("https://alone.example"):
        assert lock.exists()
    assert not lock.exists()
