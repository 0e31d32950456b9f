"""The documentation as a site: `make docs` builds it, and these tests read what it built."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright
from tools import commands, http_api, settings

from mintage import __version__

pytest.importorskip("axe_playwright_python", reason="needs `make setup` with the newest locks")
ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/site"
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
    # Colours come from the theme, the same on each page; a long page takes minutes of this rule.
    "rules": {"color-contrast": {"enabled": False}},
}
CONTRAST = {
    "runOnly": {"type": "rule", "values": ["color-contrast"]},
    "resultTypes": ["violations"],
}
KINDS = (
    "index",
    "tutorial",
    "reference",
    "pages",
    "http-api",
    "how-to/providers/github",
    "security",
)
COLOURED = ("index", "tutorial", "errors", "pages", "how-to/providers/github")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def pages() -> list[Path]:
    """The pages that were built, in order. Without a site the tests skip; in CI they fail."""
    found = sorted((SITE / __version__).rglob("*.html"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("the site is not built: make docs")
        pytest.skip("the site is not built: make docs")
    return found


class Links(HTMLParser):
    """The ids of a page, and what it refers to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value and not (tag == "link" and "://" in value):
                self.targets.append(value)


def test_generated_pages_say_what_the_program_says() -> None:
    assert commands.PAGE.read_text() == commands.page(), "run python -m tools.commands"
    assert http_api.PAGE.read_text() == http_api.page(), "run python -m tools.http_api"
    found = settings.versions(settings.known_versions())
    reference = settings.PAGE.read_text()
    assert reference == settings.written(reference, found), "run python -m tools.settings"
    assert settings.NAMES.read_text() == settings.names_file(found), "run python -m tools.settings"


def test_every_page_has_its_place_in_the_order_of_pages() -> None:
    contents = tomllib.loads((ROOT / "tools/docs_site/contents.toml").read_text(encoding="utf-8"))
    placed = {name for section in contents["section"] for name in section["pages"]}
    docs = {
        str(page.relative_to(ROOT / "docs").with_suffix(""))
        for page in (ROOT / "docs").rglob("*.md")
        if page.parent.name != "providers"
    }
    missing = docs - placed - {"index"}
    assert missing == set(), "name them in tools/docs_site/contents.toml"


def test_every_page_of_docs_is_on_the_site_as_it_is_now(pages: list[Path]) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs")
        assert SITE / __version__ / name.with_suffix(".html") in pages, name
        built = (SITE / __version__ / name).read_text(encoding="utf-8")
        assert _prose(built) == _prose(page.read_text(encoding="utf-8")), f"{name}: make docs"


def test_every_link_leads_to_a_file_and_a_place_in_it(pages: list[Path]) -> None:
    read = {page: Links(page) for page in pages}
    for page, links in read.items():
        for target in links.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            file = (page.parent / unquote(url.path)).resolve() if url.path else page
            assert file.exists(), (page, target)
            if url.fragment and file in read:
                assert unquote(url.fragment) in read[file].ids, (page, target)


def test_agents_find_every_page_as_markdown(pages: list[Path]) -> None:
    text = (SITE / __version__ / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[.+\]\((.+\.md)\): .+\.?$", text, re.MULTILINE)
    assert len(listed) > 40
    assert len(listed) == len(set(listed))
    for name in listed:
        assert (SITE / __version__ / name).exists(), name


@pytest.fixture(scope="module")
def tab(pages: list[Path], chromium: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser.new_page()
        browser.close()


@pytest.mark.timeout(900)
def test_pages_need_no_network_no_server_and_no_sideways_scrolling(
    tab: Page, pages: list[Path]
) -> None:
    """Each page, on a phone."""
    asked: list[str] = []
    faults: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.set_viewport_size({"width": 390, "height": 844})
    for page in pages:
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def violations(tab: Page, page: Path, rules: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(page, rule, the first piece of it) of what axe-core finds wrong on a wide screen."""
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.goto(page.as_uri())
    found: dict[str, Any] = tab.evaluate(f"{AXE}; axe.run(document, {json.dumps(rules)})")
    return [(page.name, each["id"], each["nodes"][0]["html"]) for each in found["violations"]]


@pytest.mark.timeout(600)
def test_everybody_can_use_the_pages(tab: Page, pages: list[Path]) -> None:
    problems = [problem for page in pages for problem in violations(tab, page, RULES)]
    assert problems == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", COLOURED)
def test_everybody_can_read_the_colours(
    tab: Page, name: str, scheme: Literal["light", "dark"]
) -> None:
    tab.emulate_media(color_scheme=scheme)
    assert violations(tab, SITE / __version__ / f"{name}.html", CONTRAST) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_page_of_each_kind_is_photographed(tab: Page, name: str) -> None:
    """In light, dark and on a phone, if a directory for pictures is named."""
    directory = os.environ.get("MINTAGE_SCREENSHOTS")
    if directory is None:
        pytest.skip("MINTAGE_SCREENSHOTS names no directory")
    for scheme, width in (*product(SCHEMES, (1280,)), ("light", 390)):
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto((SITE / __version__ / f"{name}.html").as_uri())
        assert tab.locator("h1").first.is_visible()
        target = f"site-of-docs-{name.rpartition('/')[2]}-{scheme}-{width}.png"
        tab.screenshot(path=str(Path(directory, target)))


def test_no_page_is_an_orphan(pages: list[Path]) -> None:
    """Each page can be reached from the first one by links in the text and the list of pages."""
    first = SITE / __version__ / "index.html"
    reached, ahead = {first}, [first]
    while ahead:
        page = ahead.pop()
        for target in Links(page).targets:
            file = (page.parent / unquote(urlsplit(target).path)).resolve()
            if not urlsplit(target).scheme and file in pages and file not in reached:
                reached.add(file)
                ahead.append(file)
    named = {"genindex.html", "search.html"}
    assert {page.name for page in set(pages) - reached} <= named


def test_drawings_are_drawn_in_the_colours_of_the_page(tab: Page) -> None:
    for scheme in SCHEMES:
        tab.emulate_media(color_scheme=scheme)
        for name, drawings in (("index", 2), ("architecture", 1)):
            tab.goto((SITE / __version__ / f"{name}.html").as_uri())
            drawn = tab.locator(f"figure[data-drawn={scheme}] svg")
            drawn.nth(drawings - 1).wait_for()
            assert drawn.count() == drawings


def test_the_search_finds_a_setting(tab: Page) -> None:
    tab.goto((SITE / __version__ / "search.html").as_uri() + "?q=refresh_grace")
    tab.locator("#search-results li").first.wait_for()
    assert "Reference" in tab.locator("#search-results").inner_text()


def test_the_first_page_leads_to_the_newest_version(tab: Page, pages: list[Path]) -> None:
    tab.goto((SITE / "index.html").as_uri())
    tab.wait_for_url(f"**/{__version__}/index.html")
    assert tab.locator("h1").inner_text().startswith("Mintage")


def _prose(text: str) -> str:
    """*text* without the targets of its links: those of files outside of docs/ differ."""
    return re.sub(r"\]\([^)]*\)", "]", text)
