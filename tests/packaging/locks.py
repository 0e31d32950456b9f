"""The locks, read."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NAMES = ("build", "runtime", "demo", "test", "dev")


@dataclass
class Locked:
    """One line of a lock."""

    requirement: Requirement
    hashes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (one,) = self.requirement.specifier
        assert one.operator == "=="
        return one.version

    @property
    def applies(self) -> bool:
        """Whether it is for the Python and the machine that run this."""
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def text_of(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def lock(name: str) -> list[Locked]:
    found: list[Locked] = []
    for line in text_of(name).splitlines():
        if hashed := re.match(r" +--hash=sha256:([0-9a-f]{64})", line):
            found[-1].hashes.append(hashed[1])
        elif line and not line.startswith((" ", "#")):
            found.append(Locked(Requirement(line.removesuffix("\\"))))
    return found
