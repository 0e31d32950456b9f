"""Which Pythons are on this machine: ``python -m tools.pythons 3.12`` prints a path.

Looks in PATH and among pyenv's versions. Without an argument it prints all that are supported.
Runs with the standard library alone, on whatever Python the machine has.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


def find(version: str) -> "Path | None":
    """An interpreter of *version* that starts and can make a virtual environment."""
    for candidate in _candidates(version):
        if _is(candidate, version):
            return candidate
    return None


def _candidates(version: str) -> "list[Path]":
    name = "python" + version
    in_path = [
        Path(directory) / name
        for directory in os.environ.get("PATH", "").split(os.pathsep)
        if (Path(directory) / name).is_file()
    ]
    return [*in_path, Path(sys.executable), *_of_pyenv(version)]


def _of_pyenv(version: str) -> "list[Path]":
    """Those below pyenv. Its command ``python3.12`` starts only where that version is chosen."""
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return []
    listed = _output([pyenv, "versions", "--bare"]) or ""
    newest_first = sorted(
        (line for line in listed.split() if line.startswith(version + ".")),
        key=lambda line: [int(part) for part in re.findall(r"\d+", line)],
        reverse=True,
    )
    prefixes = (_output([pyenv, "prefix", line]) for line in newest_first)
    return [Path(prefix.strip()) / "bin" / "python" for prefix in prefixes if prefix]


def _is(python: Path, version: str) -> bool:
    said = _output(
        [str(python), "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
    )
    return said is not None and said.strip() == version


def _output(command: "list[str]") -> "str | None":
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def main() -> int:
    """0 if an interpreter was printed for each version that was asked for."""
    wanted = sys.argv[1:]
    found = {version: find(version) for version in wanted or SUPPORTED}
    for version, python in found.items():
        if python is not None:
            print(python)
        elif wanted:
            print(f"Python {version} is not installed here", file=sys.stderr)
    return 0 if all(found[version] for version in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
