"""The public line: which names are public, what they look like, and that pages use no others."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from tools import api

from mintage import errors

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TREE = inspect.getdoc(errors) or ""
IMPORTED = re.compile(r"^ *(?:from (mintage[\w.]*) import|import (mintage[\w.]*))", re.MULTILINE)


def test_the_page_shows_each_public_name_as_it_is() -> None:
    assert api.PAGE.read_text() == api.page(), "a public name has changed: python -m tools.api"


@pytest.mark.parametrize("module", api.PUBLIC)
def test_every_public_name_is_explained(module: str) -> None:
    found = import_module(module)
    silent = [
        name
        for name in api.names(found)
        if (inspect.isclass(value := getattr(found, name)) or inspect.isfunction(value))
        and not value.__doc__
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_import_public_modules_only(page: Path) -> None:
    used = {found[1] or found[2] for found in IMPORTED.finditer(page.read_text())}
    assert used <= set(api.PUBLIC)


def test_the_tree_of_errors_names_each_under_its_parent() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for branch in re.finditer(r"^    ((?:[│ ]   )*)(?:[├└]── )?([\w.]+)", TREE, re.MULTILINE):
        depth, name = (len(branch[1]) + 4 * ("── " in branch[0])) // 4, branch[2].rpartition(".")[2]
        above[depth:] = [name]
        if depth:
            drawn[name] = above[depth - 1]
    assert drawn == {
        name: getattr(errors, name).__base__.__name__
        for name in api.names(errors)
        if name != "MintageError" and inspect.isclass(getattr(errors, name))
    }
