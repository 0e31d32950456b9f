"""What the benchmarks have to reach: each tells what it measured, and a run ends with this table.

Each benchmark runs in a process of its own. `tell` adds a line to the file that `RECORD` names;
without it nothing is written, and the benchmark's own tables say what the aims are.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

RECORD: Final = "BENCHMARK_AIMS"


@dataclass(frozen=True, slots=True)
class Aim:
    """*measured* and *aim* are in *unit*. A time or a size is reached if it is *at_most* the aim.

    *bound*: what the machine or another server leaves possible, in words; empty: it is not known.
    """

    what: str
    measured: float
    aim: float
    unit: str = "×"
    at_most: bool = False
    bound: str = ""

    @property
    def reached(self) -> bool:
        return self.measured <= self.aim if self.at_most else self.measured >= self.aim

    def row(self) -> str:
        outcome = "reached" if self.reached else "missed"
        if self.bound:
            outcome = f"{outcome}; {self.bound}"
        side = "at most" if self.at_most else "at least"
        more = 0
        while (measured := _number(self.measured, self.unit, more)) == (
            aim := _number(self.aim, self.unit, more)
        ) and self.measured != self.aim:
            more += 1  # what is missed by little must not look reached
        return f"| {self.what} | {measured} | {side} {aim} | {outcome} |"


def tell(*aims: Aim) -> None:
    """Note what was measured, for the table at the end of a run of all benchmarks."""
    if (name := os.environ.get(RECORD)) is not None:
        with Path(name).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(asdict(aim))}\n" for aim in aims)


def told(file: Path) -> list[Aim]:
    """All that the benchmarks have told, in their order."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Aim(**json.loads(line)) for line in lines]


def table(aims: Iterable[Aim]) -> str:
    head = "| what | measured | aim | |\n|---|---:|---:|---|\n"
    return head + "\n".join(aim.row() for aim in aims)


def _number(value: float, unit: str, more: int) -> str:
    """Three figures of it, of a percentage two, and *more*."""
    if unit == "%":
        return f"{value:.{more}%}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    text = f"{value:,.{digits + more}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}{unit}" if unit.startswith("/") else f"{text} {unit}".rstrip()
