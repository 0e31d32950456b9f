"""The result of a check: a sentence for a person, and what to do."""

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """*about*: the setting, as the file spells it.

    *found* says what is the case. *remedy* says what to do; an ``ok`` needs none.
    """

    level: Level
    about: str
    found: str
    remedy: str = ""


def ok(about: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding("ok", about, found)


def warning(about: str, found: str, remedy: str) -> Finding:
    """It works, but something should be changed."""
    return Finding("warning", about, found, remedy)


def error(about: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding("error", about, found, remedy)
