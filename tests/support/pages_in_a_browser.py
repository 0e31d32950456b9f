"""What every page must be in Chromium: in both themes, on a phone, and under axe-core."""

from importlib.resources import files
from itertools import product
from typing import Literal

import pytest
from playwright.async_api import Page

from tests.support.tab import screenshot

pytest.importorskip("axe_playwright_python", reason="needs `make setup` with the newest locks")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = (320, 900)


async def checked(tab: Page, name: str) -> None:
    """No violation of WCAG AA on *tab*, and nothing to scroll sideways, in any theme and width."""
    for scheme, width in product(SCHEMES, WIDTHS):
        await tab.emulate_media(color_scheme=scheme)
        await tab.set_viewport_size({"width": width, "height": 900})
        await screenshot(tab, f"{name}-{scheme}-{width}")
        found = await tab.evaluate(f"{AXE}; axe.run(document, {RULES!r})")
        problems = [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
        assert problems == [], (name, scheme, width)
        assert {"color-contrast", "html-has-lang"} <= {each["id"] for each in found["passes"]}
        assert await fits(tab), (name, scheme, width)


async def fits(tab: Page) -> bool:
    fits: bool = await tab.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return fits
