"""Environments in which packages are really missing, made without a download."""

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

import mintage

SOURCE = Path(mintage.__file__).parents[1]


def closure(*names: str) -> set[str]:
    """The distributions *names* (extras allowed) and all that they require here."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        found.add(wanted.name)
        for line in distribution(wanted.name).requires or ():
            one = Requirement(line)
            environments = [{"extra": extra} for extra in (*wanted.extras, "")]
            if one.marker is None or any(one.marker.evaluate(e) for e in environments):
                waiting.append(one)
    return found - {"mintage"}


def environment(directory: Path, *names: str) -> Path:
    """The Python of a new environment that has *names*, what they require, and Mintage."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    site = next(directory.glob("lib/python*/site-packages"))
    for name in closure(*names):
        _link(name, site)
    (site / "mintage.pth").write_text(f"{SOURCE}\n")
    return directory / "bin" / "python"


def _link(name: str, site: Path) -> None:
    files = distribution(name).files or []
    for top in {Path(file).parts[0] for file in files} - {"..", "__pycache__"}:
        target = site / top
        if not target.exists():
            target.symlink_to(Path(str(distribution(name).locate_file(top))))


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
    )
