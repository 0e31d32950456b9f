"""The engines of the stores' tests, for a whole server on each of them; and a real browser."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Page, async_playwright
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient
from mintage.testing.serving import serving
from tests.support.world import World


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


@pytest.fixture
async def landing_client(world: World) -> AsyncIterator[OAuthClient]:
    """A client whose redirect URI is a page that is really there."""
    port = free_port()
    app = Starlette(routes=[Route("/callback", lambda _: PlainTextResponse("welcome back"))])
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        client = OAuthClient(
            world.issuer,
            world.http,
            world.resource,
            redirect_uri=f"http://127.0.0.1:{port}/callback",
        )
        yield await client.register(client_name="The Editor")


async def screenshot(page: Page, name: str) -> None:
    """Keep a picture where the environment asks for one."""
    if directory := os.environ.get("MINTAGE_SCREENSHOTS"):
        await page.screenshot(path=str(Path(directory) / f"{name}.png"))
