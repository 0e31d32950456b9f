"""The page of errors and the rows that are sent to a server are the same, row for row."""

import tomllib

from tests.docs.error_page import DATA, PAGE, page


def test_the_page_is_what_the_data_say() -> None:
    assert PAGE.read_text(encoding="utf-8").splitlines() == page().splitlines(), "run: make docs"


def test_the_page_has_a_row_for_each_input() -> None:
    rows = tomllib.loads(DATA.read_text(encoding="utf-8"))
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    assert len(shown) == sum(map(len, rows.values())) + len(rows)
