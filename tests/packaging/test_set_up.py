"""Set-up gives what the lock names: with every Python here, its own pip, and any newer release."""

import os
import subprocess
from pathlib import Path

import pytest
from tools.pythons import SUPPORTED, find

from tests.packaging.locks import ROOT
from tests.packaging.wheels import wheel

downloads = pytest.mark.skipif(
    not os.environ.get("CI"), reason="downloads for a minute: set CI=true to run it"
)


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """make, as in a clone; pip reads no settings of this machine beside *environment*."""
    kept = {key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MFLAGS"}}
    return subprocess.run(
        ["make", "-s", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**kept, **environment},
    )


@pytest.fixture(params=SUPPORTED)
def python(request: pytest.FixtureRequest) -> Path:
    """Each supported Python that is on this machine."""
    found = find(request.param)
    if found is None:
        pytest.skip(f"Python {request.param} is not on this machine")
    return found


@pytest.fixture
def index(tmp_path: Path) -> tuple[Path, Path]:
    """(lock, folder): the lock is a year old, and each package has two newer releases."""
    folder = tmp_path / "index"
    folder.mkdir()
    hashes = {
        "door": wheel(folder, "door", "1.0", ["hinge[more]>=1", "bolt>=1; extra == 'more'"]),
        "hinge": wheel(folder, "hinge", "1.0", ["screw>=1; extra == 'more'"]),
        "screw": wheel(folder, "screw", "1.0"),
    }
    for name in (*hashes, "bolt"):
        for newer in ("1.0.1", "2.0"):
            wheel(folder, name, newer, ["bolt>=1"])
    lock = tmp_path / "locks" / "demo.txt"
    lock.parent.mkdir()
    lock.write_text(
        "".join(
            f"{name}{'[more]' if name == 'hinge' else ''}==1.0 --hash=sha256:{digest}\n"
            for name, digest in hashes.items()
        )
    )
    return lock.parent, folder


def test_newer_releases_change_nothing(
    python: Path, index: tuple[Path, Path], tmp_path: Path
) -> None:
    """The set-up of the Makefile, with the pip that this Python brings and a folder as index."""
    locks, folder = index
    there = tmp_path / "env"
    done = make(
        f"VENV={there}", f"LOCKS={locks}", f"PYTHON={python}", f"{there}/packages-demo",
        PIP_NO_INDEX="1", PIP_FIND_LINKS=str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert _installed(there) == {"door": "1.0", "hinge": "1.0", "screw": "1.0"}


def test_a_file_that_is_not_the_locked_one_is_refused(
    index: tuple[Path, Path], tmp_path: Path
) -> None:
    """Same name, same version, other bytes."""
    locks, folder = index
    wheel(folder, "screw", "1.0", ["bolt>=1"])
    there = tmp_path / "env"
    done = make(
        f"VENV={there}", f"LOCKS={locks}", f"{there}/packages-demo",
        PIP_NO_INDEX="1", PIP_FIND_LINKS=str(folder),
    )  # fmt: skip
    assert done.returncode != 0
    assert "HASH" in done.stderr.upper()
    assert not (there / "packages-demo").exists()


def _installed(environment: Path) -> dict[str, str]:
    site = next(environment.glob("lib/python*/site-packages"))
    found = (path.name.removesuffix(".dist-info").split("-") for path in site.glob("*.dist-info"))
    return {name: version for name, version in found if name not in {"pip", "setuptools"}}


@downloads
@pytest.mark.timeout(600)
def test_the_demo_runs_on_a_fresh_machine(python: Path, tmp_path: Path) -> None:
    """As `make demo` does it: a new environment, the pip that came with it, an empty cache."""
    there = tmp_path / "env"
    done = make(
        f"VENV={there}", f"PYTHON={python}", f"{there}/ready-demo",
        PIP_CACHE_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(
        [there / "bin/python", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    demo = subprocess.run(
        [there / "bin/mintage", "demo", "--once"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr


def test_a_supported_python_is_found() -> None:
    assert any(find(version) for version in SUPPORTED)
    assert find("3.99") is None
