"""Each line of the specifications is on the page once, with tests that exist or a reason."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = range(1, 133)
"""Every number that the tables must hold."""

PAGE = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
NAMED = {int(number): re.findall(r"`(test_\w+)`", last) for number, _, _, last in ROWS}
LEVELS = {"must", "must not", "should", "should not", "may"}


def names_of_tests() -> list[str]:
    return [
        name
        for file in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    ]


TESTS = names_of_tests()
CITING = [(int(n), name) for name in TESTS for n in re.findall(r"spec(\d{3})", name)]


def test_every_line_is_there_once_and_in_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(LINES)


@pytest.mark.parametrize("number", LINES)
def test_a_line_has_a_level_and_tests_or_a_reason(number: int) -> None:
    _, what, level, last = ROWS[number - LINES.start]
    assert what.strip()
    assert set(level.split(", ")) <= LEVELS
    reason = re.sub(r"`test_\w+`(, |\.? ?)", "", last).strip()
    assert NAMED[number] or reason
    if reason:
        assert re.fullmatch(r"[A-Z].{20,}\.", reason), reason


@pytest.mark.parametrize("number", LINES)
def test_its_tests_exist_and_cite_it_or_an_attack(number: int) -> None:
    for name in NAMED[number]:
        assert name in TESTS, name
        assert f"spec{number:03}" in name or name.startswith("test_attack_"), name
    assert max(Counter(NAMED[number]).values(), default=1) == 1


@pytest.mark.parametrize("number", LINES)
def test_each_test_that_cites_it_is_listed(number: int) -> None:
    assert {name for cited, name in CITING if cited == number} <= set(NAMED[number])


def test_every_test_cites_a_line_that_exists() -> None:
    assert {number for number, _ in CITING} <= set(range(1, 133))
