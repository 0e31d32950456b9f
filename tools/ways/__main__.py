"""Follows the ways that are named, or all of them, and prints a table."""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired, run
from tempfile import TemporaryDirectory

from tools.ways.place import Failed, NotRun, empty_place
from tools.ways.text import ROOT, NotSaid
from tools.ways.ways import WAYS, Way


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a way: *ran* without a failure, in *seconds*, and *megabytes* on the disk."""

    way: Way
    said: str
    good: bool = True
    seconds: float | None = None
    megabytes: int | None = None

    def row(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:.0f}"
        megabytes = "" if self.megabytes is None else str(self.megabytes)
        last = (
            self.said.splitlines()[0] if self.good else f"**failed**: {self.said.splitlines()[0]}"
        )
        return f"| {self.way.name} | {self.way.says} | {seconds} | {megabytes} | {last} |"


def follow(way: Way, wheels: Path, *, linked: bool = False) -> Result:
    """Follow *way* in an empty place. *linked*: with this environment's packages."""
    if missing := way.lacks():
        return Result(way, f"not run: {', '.join(missing)} is not installed")
    with empty_place(wheels, linked=linked) as place:
        begun = time.monotonic()
        try:
            said = way.follow(place)
        except NotRun as error:
            return Result(way, f"not run: {error}")
        except (Failed, NotSaid, AssertionError, CalledProcessError, TimeoutExpired) as error:
            print(f"{way.name}: {error}", file=sys.stderr)
            return Result(way, str(error).strip() or repr(error), good=False)
        seconds = time.monotonic() - begun
        size = place.megabytes() if way.measured and not linked else None
        return Result(way, said, seconds=seconds, megabytes=size)


def wheel(directory: Path) -> None:
    """Build the wheel that `make dist` builds: no version is published yet."""
    run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.ways")
    parser.add_argument("way", nargs="*", choices=[*(way.name for way in WAYS), []])
    parser.add_argument("--list", action="store_true", help="print the ways and follow none")
    parser.add_argument(
        "--linked", action="store_true", help="download nothing: use this environment's packages"
    )
    chosen = parser.parse_args()
    if chosen.list:
        for way in WAYS:
            print(f"{way.name:10} {way.says}")
        return 0
    wanted = [way for way in WAYS if not chosen.way or way.name in chosen.way]
    results = []
    with TemporaryDirectory(prefix="mintage-wheel-") as wheels:
        wheel(Path(wheels))
        for way in wanted:
            results.append(follow(way, Path(wheels), linked=chosen.linked))
            print(results[-1].row(), file=sys.stderr, flush=True)
    print("| way | what it follows | seconds | MB | how it ended |\n|---|---|---:|---:|---|")
    for result in results:
        print(result.row())
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
