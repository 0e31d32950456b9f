"""Docstrings, messages and pages name the actor, and use no phrase that a reader has to decode."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RIDDLES = re.compile(
    r"\b(?:whoever|of ours|are ours|told of|tells of|stands? (?:for|in|at|before|behind|under)"
    r"|goes on|go on|(?:is|are) let in|lets? in|nobody's|the way there|vouches|vouch for"
    r"|hears? of|in our words|our own)\b",
    re.IGNORECASE,
)
MODULES = sorted((ROOT / "src/mintage").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SHOWN = sorted(
    file for kind in ("html", "toml") for file in (ROOT / "src/mintage").rglob(f"*.{kind}")
)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_docstrings_and_messages_are_plain(module: Path) -> None:
    texts = [
        " ".join(node.value.split())
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [found[0] for text in texts for found in RIDDLES.finditer(text)] == []


@pytest.mark.parametrize("file", SHOWN, ids=shown)
def test_templates_and_examples_are_plain(file: Path) -> None:
    assert [found[0] for found in RIDDLES.finditer(" ".join(file.read_text().split()))] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_pages_are_plain(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    assert [found[0] for found in RIDDLES.finditer(" ".join(text.split()))] == []
