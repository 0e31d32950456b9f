"""A short coverage-guided run of each target. The long ones are in docs/testing.md."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = 5000


@pytest.mark.parametrize("target", ["verify", "jwks", "inspect"])
def test_a_short_guided_run_finds_nothing(target: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not available for this Python")
    done = subprocess.run(
        [
            sys.executable, "-m", "fuzz.run", target, str(tmp_path), f"fuzz/corpus/{target}",
            f"-runs={RUNS}", "-max_len=1024", "-dict=fuzz/tokens.dict", "-seed=1",
            f"-artifact_prefix={tmp_path}/",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Done {RUNS} runs" in done.stderr
