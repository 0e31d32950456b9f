"""``python -m tools.figures``: what each way in costs, with an empty cache. For the README."""

import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        wheel = _wheel(Path(directory))
        for name, command in _ways(wheel, Path(directory)).items():
            _measure(name, command, Path(directory) / name)
    return 0


def _wheel(directory: Path) -> Path:
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)], {})
    (file,) = directory.glob("*.whl")
    return file


def _ways(wheel: Path, directory: Path) -> dict[str, list[str]]:
    """Each way in up to the moment before the demo starts: then everything is the same."""
    demo, python = f"{wheel}[demo]", sys.executable
    library = f"{python} -m venv {directory}/library/env && {directory}/library/env/bin/python"
    return {
        "uvx": [python, "-m", "uv", "tool", "run", "--from", demo, "mintage", "--version"],
        "pipx": [python, "-m", "pipx", "run", "--spec", demo, "mintage", "--version"],
        "make-demo": ["make", "-s", f"VENV={directory}/make-demo/env",
                      f"{directory}/make-demo/env/ready-demo"],
        "library": ["bash", "-c", f"{library} -m pip install -q {wheel}"],
    }  # fmt: skip


def _measure(name: str, command: list[str], home: Path) -> None:
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PIP_CACHE_DIR": str(home / "pip-cache"),
        "UV_CACHE_DIR": str(home / "uv-cache"),
        "PIPX_HOME": str(home / "pipx"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    began = time.monotonic()
    _run(command, environment)
    took = time.monotonic() - began
    sites = [path for path in home.rglob("site-packages") if any(path.glob("mintage*"))]
    packages = {each.name.lower() for each in distributions(path=[str(path) for path in sites])}
    megabytes = sum(_size(site.parents[2]) for site in sites) / 1e6
    count = len(packages - {"pip", "setuptools"})
    print(f"{name:>10}: {took:4.0f} s, {megabytes:4.0f} MB, {count} packages")


def _size(directory: Path) -> int:
    return sum(file.lstat().st_size for file in directory.rglob("*") if not file.is_dir())


def _run(command: list[str], environment: dict[str, str]) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("UV_CONSTRAINT")}
    subprocess.run(  # noqa: S603 - fixed commands
        command, cwd=ROOT, env=kept | environment, check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    sys.exit(main())
