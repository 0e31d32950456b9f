"""A site for browsers behind the gateway, and what a browser sends to it."""

from typing import Any, Final

from mintage.testing.browser import Browser, Page
from tests.support.world import THE_BACKEND, World

SITE: Final = {
    "path": "/site",
    "backend": THE_BACKEND,
    "scopes": ["site"],
    "credential": "identity",
    "browser": True,
    "name": "The Wiki",
}
API: Final = {
    "path": "/mcp",
    "backend": THE_BACKEND,
    "scopes": ["tools"],
    "credential": "identity",
}

NAVIGATION: Final = {
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "sec-fetch-site": "none",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}
FETCH: Final = {
    "accept": "*/*",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
}


def two_resources(**site: Any) -> dict[str, Any]:
    """Settings with a site and an API, as `overrides` of a world has them."""
    return {"resource": [SITE | site, dict(API)]}


async def signed_in(world: World, browser: Browser, address: str = "/site/") -> Page:
    """The page at *address*, after the login that leads there."""
    page = await browser.open(world.issuer + address)
    assert page.status == 200, page.text
    return page


async def session_of(world: World, address: str = "/site/") -> dict[str, str]:
    """The ``Cookie`` header of a browser that is signed in."""
    async with world.browser() as browser:
        await signed_in(world, browser, address)
        return world.cookies_of(browser)
