"""Each change that takes a defence away can be made, and docs/security.md names its tests."""

from pathlib import Path

import pytest
from stress.defences import PACKAGE, SECURITY, TABLED, Change, Defence, defences
from stress.defences import tests_of as files_of

ROWS = sorted({row for row, _ in TABLED.findall(SECURITY.read_text(encoding="utf-8"))})
DEFENCES = defences()


def called(defence: Defence) -> str:
    return f"{defence.row}-{defence.says}"


def test_every_attack_has_a_defence_that_can_be_taken_out() -> None:
    assert sorted({defence.row for defence in DEFENCES}) == ROWS


@pytest.mark.parametrize("defence", DEFENCES, ids=called)
def test_what_is_taken_out_stands_there_once_and_leaves_a_program(defence: Defence) -> None:
    for change in defence.changes:
        changed = _without(defence, change.file)
        assert changed != (PACKAGE / change.file).read_text(encoding="utf-8")
        compile(changed, change.file, "exec")


def _without(defence: Defence, file: str) -> str:
    """The source of *file* after all changes to it, made one after the other."""
    source = (PACKAGE / file).read_text(encoding="utf-8")
    for change in defence.changes:
        if change.file == file:
            source = change.applied(source)
    return source


@pytest.mark.parametrize("defence", DEFENCES, ids=called)
def test_its_tests_are_those_that_the_page_names(defence: Defence) -> None:
    files = files_of(defence.row)
    assert files
    assert defence.tests is None or defence.tests in files


def test_a_text_that_is_gone_or_stands_twice_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for old in ("y = 1", "x = 1"):
        with pytest.raises(ValueError, match="not once"):
            Defence("A01", "", (Change("a.py", old, ""),)).take_out(tmp_path)
