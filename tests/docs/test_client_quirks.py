"""Each row of the table of quirks has a test, and each test of a quirk has a row."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = "tests/server/test_client_quirks.py"
ROWS = re.findall(
    r"\| `(test_\w+)`(?: in `([\w/.]+)`)? \|$",
    (ROOT / "docs/client-quirks.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def named_in(file: str) -> set[str]:
    return set(re.findall(r"def (test_\w+)", (ROOT / file).read_text(encoding="utf-8")))


def test_every_row_names_a_test_that_exists() -> None:
    assert ROWS
    for name, file in ROWS:
        assert name in named_in(file or HOME), name


def test_every_quirk_has_a_row() -> None:
    assert named_in(HOME) == {name for name, file in ROWS if not file}
