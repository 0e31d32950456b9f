"""A browser at the page of the connected apps."""

import re

import httpx2

from mintage.testing.browser import Browser, Page
from tests.support.world import World

SESSION = "mintage-account"
PROVIDER = "oidc"


async def sign_in(world: World, browser: Browser, upstream: str = PROVIDER) -> Page:
    """Sign in at the page, and come back to it."""
    page = await browser.open(f"{world.issuer}/account")
    landed = await browser.submit(page, {"upstream": upstream})
    assert landed.url == f"{world.issuer}/account"
    return landed


def grants_on(page: Page) -> list[str]:
    """The public ids of the apps that *page* shows."""
    return re.findall(r'<button name="grant" value="([a-z2-7]+)"', page.text)


def complaint(page: Page | httpx2.Response) -> str:
    found = re.search("<h1>(.*?)</h1>", page.text)
    return found[1] if found else page.text
