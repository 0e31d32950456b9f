"""A tab of Chromium, and pictures of what it shows."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright


@pytest.fixture
async def tab(chromium: str) -> AsyncIterator[Page]:
    """A tab; a violated policy or an error on the console fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = await browser.new_context(viewport={"width": 900, "height": 900})
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        await browser.close()
    notes = ("Failed to load resource", "Clear-Site-Data header on")
    assert [text for text in complaints if not text.startswith(notes)] == []


async def screenshot(page: Page, name: str) -> None:
    """Keep a picture where the environment asks for one."""
    if directory := os.environ.get("MINTAGE_SCREENSHOTS"):
        await page.screenshot(path=str(Path(directory) / f"{name}.png"), full_page=True)
