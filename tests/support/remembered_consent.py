"""An app whose users let Mintage remember their consent, and what the pages say about it."""

import re

import httpx2

from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import OAuthClient, answer_of
from tests.support.world import World

DAY = 86400
AT = "https://app.example/callback"
SITE = "https://app.example/"
APP = {"client_id": "portal", "name": "The Portal", "redirect_uris": [AT, f"{AT}/2"]}
OTHER = {"client_id": "other", "name": "Another", "redirect_uris": [AT]}
HINT = "mintage-remembered"
CHECKBOX = 'name="remember"'


def app_of(world: World, client_id: str = "portal", redirect_uri: str = AT) -> OAuthClient:
    return OAuthClient(
        world.issuer, world.http, world.resource, client_id, redirect_uri=redirect_uri
    )


async def agree(world: World, browser: Browser, url: str, **fields: str) -> Page:
    """Log in through the page, and let Mintage remember it."""
    page = await browser.open(url, link_on=SITE)
    assert CHECKBOX in page.text
    landed = await browser.submit(page, {"decision": "approve", "remember": "yes"} | fields)
    assert "code" in answer_of(landed)
    return landed


def asks(page: Page | httpx2.Response) -> bool:
    """Whether *page* is the question, and no way on to the provider."""
    assert (page.status if isinstance(page, Page) else page.status_code) == 200
    assert ('http-equiv="refresh"' in page.text) != ('value="deny"' in page.text)
    return 'value="deny"' in page.text


def answers_on(page: Page) -> list[str]:
    """The ids of the remembered answers that *page* shows."""
    return re.findall(r'<button name="forget" value="([a-z2-7]+)"', page.text)
