"""Each attack has a defence that the battery can take out, and what it says is still there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TABLE: list[dict[str, Any]] = tomllib.loads(
    (ROOT / "batteries/defences.toml").read_text(encoding="utf-8")
)["defence"]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
ROWS = set(re.findall(r"^\| ([A-D]\d\d) \|", PAGE, re.MULTILINE))


def test_each_row_has_a_defence_and_each_defence_a_row() -> None:
    assert {entry["row"] for entry in TABLE} == ROWS


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry['row']}: {entry['says']}")
def test_what_is_taken_out_stands_there_once_and_what_is_left_is_python(
    entry: dict[str, Any],
) -> None:
    sources: dict[str, str] = {}
    for change in (entry, *entry.get("also", ())):
        file = change["file"]
        source = sources.get(file) or (ROOT / "src/mintage" / file).read_text(encoding="utf-8")
        assert source.count(change["old"]) == 1, change["old"]
        sources[file] = source.replace(change["old"], change["new"])
        assert sources[file] != source
    for file, source in sources.items():
        compile(source, file, "exec")
