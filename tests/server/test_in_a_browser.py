"""The pages in a real browser: what Chromium makes of the policy, the cookies and the redirects."""

import pytest
from playwright.async_api import Page

from mintage.testing.oauth_client import OAuthClient, answer_of
from tests.support.tab import screenshot
from tests.support.world import World


async def test_consent_goes_through_every_redirect(
    world: World, tab: Page, landing_client: OAuthClient
) -> None:
    """Consent, a provider that approves by itself, callback, client: in one go, no click lost."""
    login = landing_client.authorization()
    await tab.goto(login.url)
    await screenshot(tab, "consent")
    assert "The Editor" in await tab.inner_text("h1")
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    assert await tab.inner_text("body") == "welcome back"
    answer = answer_of(tab.url)
    assert answer["state"] == login.state
    assert (await landing_client.redeem(login, answer["code"])).status_code == 200


async def test_the_keyboard_is_enough(tab: Page, landing_client: OAuthClient) -> None:
    await tab.goto(landing_client.authorization().url)
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("Tab")
    assert await tab.evaluate("document.activeElement.value") == "deny"
    await tab.keyboard.press("Enter")
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    assert answer_of(tab.url)["error"] == "access_denied"


async def test_two_tabs_log_in_side_by_side(tab: Page, landing_client: OAuthClient) -> None:
    other = await tab.context.new_page()
    logins = [landing_client.authorization(), landing_client.authorization()]
    for page, login in zip((tab, other), logins, strict=True):
        await page.goto(login.url)
    for page, login in zip((tab, other), logins, strict=True):
        await page.get_by_role("button", name="Allow and log in").click()
        await page.wait_for_url(f"{landing_client.redirect_uri}?**")
        assert answer_of(page.url)["state"] == login.state


async def test_cookies_are_small_and_go_when_they_are_done(
    tab: Page, landing_client: OAuthClient
) -> None:
    await tab.goto(landing_client.authorization().url)
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    left = [c for c in await tab.context.cookies() if c["name"].startswith("mintage")]
    (only,) = left
    assert only["name"].startswith("mintage-browser-")
    assert (only["httpOnly"], only["sameSite"]) == (True, "Lax")


async def test_spec033_a_page_in_a_frame_is_not_shown(
    tab: Page, landing_client: OAuthClient, world: World
) -> None:
    """Clickjacking (ATTACKS B04): nobody can lay anything over the buttons."""
    answer = await world.http.get(landing_client.authorization().url)
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_an_answer_is_sent_again_to_a_provider_that_was_away(
    world: World, tab: Page, landing_client: OAuthClient
) -> None:
    world.upstream.faults["discovery"] = "503"
    await tab.goto(landing_client.authorization().url)
    await tab.get_by_role("button", name="Allow and log in").click()
    again = tab.get_by_role("button", name="Try again")
    await again.wait_for()
    assert await tab.inner_text("h1") == "Not available at the moment"
    await screenshot(tab, "provider-away")
    world.upstream.faults.clear()
    world.clock.advance(5)
    await again.click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    assert await tab.inner_text("body") == "welcome back"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_error_pages_are_for_people(
    world: World, tab: Page, landing_client: OAuthClient, scheme: str
) -> None:
    await tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    world.upstream.faults["token"] = "503"
    await tab.goto(landing_client.authorization().url)
    await screenshot(tab, f"consent-{scheme}")
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url("**/callback?**")
    await screenshot(tab, f"error-{scheme}")
    assert "Reference" in await tab.inner_text("main")
    world.upstream.faults.clear()
    await tab.get_by_role("link", name="Try again").click()
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
