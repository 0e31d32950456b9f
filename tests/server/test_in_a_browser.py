"""The pages in a real browser: what Chromium makes of the policy, the cookies and the redirects."""

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
from mintage.testing.oauth_client import OAuthClient, answer_of
from mintage.testing.serving import serving
from tests.conftest import World


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
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@pytest.fixture
async def client(world: World) -> AsyncIterator[OAuthClient]:
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


async def test_consent_goes_through_every_redirect(
    world: World, tab: Page, client: OAuthClient
) -> None:
    """Consent, a provider that approves by itself, callback, client: in one go, no click lost."""
    login = client.authorization()
    await tab.goto(login.url)
    await screenshot(tab, "consent")
    assert "The Editor" in await tab.inner_text("h1")
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{client.redirect_uri}?**")
    assert await tab.inner_text("body") == "welcome back"
    answer = answer_of(tab.url)
    assert answer["state"] == login.state
    assert (await client.redeem(login, answer["code"])).status_code == 200


async def test_the_keyboard_is_enough(tab: Page, client: OAuthClient) -> None:
    await tab.goto(client.authorization().url)
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("Tab")
    assert await tab.evaluate("document.activeElement.value") == "deny"
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(f"{client.redirect_uri}?**")
    assert answer_of(tab.url)["error"] == "access_denied"


async def test_two_tabs_log_in_side_by_side(tab: Page, client: OAuthClient) -> None:
    other = await tab.context.new_page()
    logins = [client.authorization(), client.authorization()]
    for page, login in zip((tab, other), logins, strict=True):
        await page.goto(login.url)
    for page, login in zip((tab, other), logins, strict=True):
        await page.get_by_role("button", name="Allow and log in").click()
        await page.wait_for_url(f"{client.redirect_uri}?**")
        assert answer_of(page.url)["state"] == login.state


async def test_cookies_are_small_and_go_when_they_are_done(tab: Page, client: OAuthClient) -> None:
    await tab.goto(client.authorization().url)
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{client.redirect_uri}?**")
    left = [c for c in await tab.context.cookies() if c["name"].startswith("mintage")]
    assert [(c["name"], c["httpOnly"], c["sameSite"]) for c in left] == [
        ("mintage-browser", True, "Lax")
    ]


async def test_a_page_in_a_frame_is_not_shown(tab: Page, client: OAuthClient, world: World) -> None:
    """Clickjacking (ATTACKS B04): nobody can lay anything over the buttons."""
    answer = await world.http.get(client.authorization().url)
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_error_pages_are_for_people(
    world: World, tab: Page, client: OAuthClient, scheme: str
) -> None:
    await tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    world.upstream.faults["token"] = "503"
    await tab.goto(client.authorization().url)
    await screenshot(tab, f"consent-{scheme}")
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url("**/callback?**")
    await screenshot(tab, f"error-{scheme}")
    assert "Reference" in await tab.inner_text("main")
    world.upstream.faults.clear()
    await tab.get_by_role("link", name="Try again").click()
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{client.redirect_uri}?**")
