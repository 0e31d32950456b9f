"""The pictures in the documentation: of each page that people see, small, and none too many."""

import base64
import re
from pathlib import Path

import pytest
from tools import pictures

PAGE = pictures.ROOT / "docs/pages.md"
CHECKED = re.compile(r"""await checked\(tab, f?"([\w-]+)""")
VARIANTS = ("light-900", "dark-900", "light-320")
OTHERS = {
    "about": "shown for the address of a resource",
    "about-": "the same",
    "account-remembered": "the account, with one paragraph more",
    "not-signed-in": "the page of signing out, without a session",
    "site-session": "the page of a refusal, in other words",
    "device-denied-": "the end of a denial, in other words",
    "device-wrong": "the page for the code, with a sentence more",
}
"""Pages of the tests that have no row of their own."""


def pages_of_the_tests() -> set[str]:
    """The names under which the browsers' tests check and photograph pages."""
    files = (pictures.ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in CHECKED.findall(file.read_text(encoding="utf-8"))}


def test_each_page_that_people_see_is_shown_in_both_themes_and_on_a_phone() -> None:
    shown = pictures.shown()
    names = pages_of_the_tests()
    assert len(names) > 15
    for name in names - OTHERS.keys():
        shown_as = f"{name}en" if name.endswith("-") else name  # a page in several languages
        for variant in VARIANTS:
            picture = f"{shown_as}-{variant}"
            assert PAGE in shown.get(picture, []), f"{picture}: docs/pages.md"


@pytest.mark.parametrize("name", sorted(pictures.shown()))
def test_a_picture_is_small_and_there(name: str) -> None:
    file = pictures.KEPT / f"{name}.webp"
    content = file.read_bytes()
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WEBP"
    assert len(content) <= pictures.LARGEST


def test_no_picture_is_kept_that_no_page_shows() -> None:
    kept = {file.name for file in pictures.KEPT.iterdir()}
    assert kept == {f"{name}.webp" for name in pictures.shown()}


def test_each_picture_is_described_in_words() -> None:
    for pages in pictures.shown().values():
        for page in pages:
            described = re.findall(r"!\[([^\]]*)\]\(", page.read_text(encoding="utf-8"))
            assert all(len(words) > 10 for words in described), page


def test_the_tool_cuts_empty_edges_off_and_keeps_within_the_bound(
    tmp_path: Path, chromium: str
) -> None:
    """On a picture of its own: a word on an empty page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 900, "height": 900})
        tab.set_content("<p style='margin: 400px'>word</p>")
        tab.screenshot(path=str(tmp_path / "word.png"))
        made = pictures._small(tab, tmp_path / "word.png")
        size = tab.evaluate(
            "async (data) => { const i = new Image(); i.src = data; await i.decode();"
            "return [i.width, i.height]; }",
            "data:image/webp;base64," + base64.b64encode(made).decode(),
        )
        browser.close()
    assert 48 < size[0] < 150
    assert 48 < size[1] < 120
    assert len(made) < 5000
