"""Each defence taken out in turn: the tests of its attack must turn red.

::

    python -m stress.defences [ROW…]

A row is that of docs/security.md, ``A01`` to ``F99``; without any, all of them. The files in
``defence_changes`` have the changes. Each is made to a copy of the package, and the tests of
its row run on that copy, one process at a time. A row that stays green has tests that prove
nothing: exit code 1.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "src/mintage"
SECURITY: Final = ROOT / "docs/security.md"
_SECONDS: Final = 60  # for one test: without a limit of ours it may never end
_NOT_PASSED: Final = {"PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS"}

# The copy is what is tested, or nothing is.
_RUN: Final = """
import pathlib, sys
import mintage, pytest
here = pathlib.Path(mintage.__file__).parent
if here != pathlib.Path(sys.argv[1]):
    sys.exit(f"{here} was imported instead of the copy")
sys.exit(pytest.main(sys.argv[2:]))
"""

TABLED: Final = re.compile(r"^\| ([A-F]\d\d) \|.*\| (tests/\S+) \|$", re.MULTILINE)
_RED: Final = re.compile(r"^FAILED \S+?::(?:\w+::)?(test_\w+)(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """In *file*, below the package, *old* (which stands there once) gives way to *new*."""

    file: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} stands there {found} times, not once")
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Defence:
    """What is taken out, in words and in code. Defences that stand behind each other go together.

    *tests*: of a row that has several files, the one that must turn red.
    """

    row: str
    says: str
    changes: tuple[Change, ...]
    tests: str | None = None

    @classmethod
    def read(cls, entry: dict[str, Any]) -> "Defence":
        first = {name: entry[name] for name in ("file", "old", "new")}
        changes = [Change(**change) for change in (first, *entry.get("also", ()))]
        return cls(entry["row"], entry["says"], tuple(changes), entry.get("tests"))

    def take_out(self, package: Path) -> None:
        """Make the changes in *package*."""
        for change in self.changes:
            file = package / change.file
            file.write_text(change.applied(file.read_text(encoding="utf-8")), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Outcome:
    """*red*: the test that failed first, None if none did. *says*: why, or what went wrong."""

    red: str | None
    says: str = ""


def defences() -> list[Defence]:
    """All of them, in the order of their rows."""
    found = [
        Defence.read(entry)
        for file in sorted((ROOT / "stress/defence_changes").glob("*.toml"))
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["defence"]
    ]
    return sorted(found, key=lambda defence: defence.row)


def tests_of(row: str) -> list[str]:
    """The files that docs/security.md names for *row*."""
    tabled = TABLED.findall(SECURITY.read_text(encoding="utf-8"))
    return list(dict.fromkeys(file for name, file in tabled if name == row))


class Workshop:
    """One copy of the package, in *directory*, in which a defence is out for a moment."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._source = directory / "src"
        self._package = self._source / "mintage"
        self._trials = 0
        shutil.copytree(PACKAGE, self._package, ignore=shutil.ignore_patterns("__pycache__"))

    def tried(self, defence: Defence) -> Outcome:
        """What the tests of its row say without *defence*."""
        self._trials += 1
        defence.take_out(self._package)
        try:
            for change in defence.changes:
                # No two states of a file look the same to the cache of compiled ones.
                os.utime(self._package / change.file, (self._trials, self._trials))
            return _outcome(self._tested(defence))
        finally:
            for change in defence.changes:
                shutil.copy2(PACKAGE / change.file, self._package / change.file)

    def _tested(self, defence: Defence) -> "subprocess.CompletedProcess[str]":
        files = [defence.tests] if defence.tests else tests_of(defence.row)
        environ = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
        return subprocess.run(  # noqa: S603
            [
                sys.executable, "-c", _RUN, str(self._package.resolve()),
                "-q", "-x", "--tb=no", "-rf", "-p", "no:cacheprovider", "-o", f"timeout={_SECONDS}",
                f"--basetemp={self._directory / 'tests'}",
                "-k", f"test_attack_{defence.row.lower()}_", *files,
            ],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env=environ | {
                "PYTHONPATH": str(self._source),
                "PYTHONPYCACHEPREFIX": str(self._directory / "compiled"),
                "COLUMNS": "300",
            },
        )  # fmt: skip


def _outcome(run: "subprocess.CompletedProcess[str]") -> Outcome:
    """A test that failed. One that could not even begin says nothing about the attack."""
    found = _RED.search(run.stdout)
    if run.returncode == 1 and found is not None:
        return Outcome(found[1], found[2].strip())
    if run.returncode == 0:
        return Outcome(None, "STILL GREEN")
    return Outcome(None, f"NOT RUN: {(run.stdout + run.stderr).strip()[-500:]}")


def outcomes(wanted: list[Defence]) -> Iterator[tuple[Defence, Outcome]]:
    """Each of *wanted* with what its tests said without it, as it is known."""
    with tempfile.TemporaryDirectory(prefix="mintage-defences-") as directory:
        workshop = Workshop(Path(directory))
        for defence in wanted:
            yield defence, workshop.tried(defence)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.defences")
    parser.add_argument("row", nargs="*", help="A01 and so on; all of them without any")
    parser.add_argument("--why", action="store_true", help="show how the test failed")
    given = parser.parse_args()
    wanted = [one for one in defences() if not given.row or one.row in given.row]
    print("| row | turns red | when this is taken out |\n|---|---|---|")
    clean = bool(wanted)
    for defence, outcome in outcomes(wanted):
        print(f"| {defence.row} | {outcome.red or outcome.says} | {defence.says} |", flush=True)
        if given.why:
            print(f"    {outcome.says}", flush=True)
        clean &= outcome.red is not None
    raise SystemExit(not clean)


if __name__ == "__main__":
    main()
