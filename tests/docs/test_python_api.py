"""The public line: which names are public, what they look like, and that pages use no others."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from tools import api

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
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
