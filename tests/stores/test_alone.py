"""A second process with a store in memory says that it can't work."""

import logging
import subprocess
import sys

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
