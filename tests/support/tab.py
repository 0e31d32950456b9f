"""A tab of Chromium, and pictures of what it shows."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.support.shared_browser import shared_browser


@pytest.fixture(scope="session")
def browser_of_all(chromium: str) -> Iterator[Browser]:
    """The Chromium of this process; a test has a tab in a context of its own."""
    with shared_browser(chromium) as browser:
        yield browser


@pytest.fixture
async def tab(browser_of_all: Browser) -> AsyncIterator[Page]:
    """A tab; a violated policy or an error on the console fails the test."""
    complaints: list[str] = []
    context = await browser_of_all.new_context(viewport={"width": 900, "height": 900})
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    notes = ("Failed to load resource", "Clear-Site-Data header on")
    assert [text for text in complaints if not text.startswith(notes)] == []


async def screenshot(page: Page, name: str) -> None:
    """Keep a picture where the environment asks for one."""
    if directory := os.environ.get("MINTAGE_SCREENSHOTS"):
        await page.screenshot(path=str(Path(directory) / f"{name}.png"), full_page=True)
