"""Signing out: at a site or at ``/account``, it ends all sessions of this browser, and no app's."""

from typing import Any

import pytest

from mintage.testing.browser import Browser
from tests.support.account import sign_in
from tests.support.browsers import FETCH, signed_in, two_resources
from tests.support.faulty_store import failing
from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    return two_resources()


async def status_at_the_site(world: World, cookies: dict[str, str]) -> int:
    answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
    return answer.status_code


async def is_at_the_account(world: World, cookies: dict[str, str]) -> bool:
    page = await world.http.get(f"{world.issuer}/account", headers=cookies)
    return "You are signed in at" in page.text


async def at_both(world: World, browser: Browser) -> dict[str, str]:
    await signed_in(world, browser)
    await sign_in(world, browser)
    return world.cookies_of(browser)


def sessions_of(browser: Browser) -> list[str]:
    starts = "mintage-session-", "mintage-account"
    return [name for name in browser.cookies if name.startswith(starts)]


async def test_at_the_site_ends_the_session_at_the_account_too(world: World) -> None:
    async with world.browser() as browser:
        copy = await at_both(world, browser)
        done = await browser.submit(await browser.open(f"{world.issuer}/mintage/sign-out"))
        assert "You are signed out" in done.text
        assert "Apps that you connected stay connected" in done.text
        assert sessions_of(browser) == []
    assert not await is_at_the_account(world, copy), "a copy of the cookie is useless too"
    assert await status_at_the_site(world, copy) == 401


async def test_at_the_account_ends_the_session_at_the_site_too(world: World) -> None:
    async with world.browser() as browser:
        copy = await at_both(world, browser)
        page = await browser.open(f"{world.issuer}/account")
        assert "Signing out ends all your sessions at this server in this browser" in page.text
        await browser.submit(page, {"action": "sign_out"})
        assert sessions_of(browser) == []
    assert await status_at_the_site(world, copy) == 401
    assert not await is_at_the_account(world, copy)


async def test_the_page_at_the_site_names_the_account_and_ends_it_alone(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(world, browser)
        copy = world.cookies_of(browser)
        page = await browser.open(f"{world.issuer}/mintage/sign-out")
        assert "Your connected apps" in page.text
        done = await browser.submit(page)
        assert "You are signed out" in done.text
    assert not await is_at_the_account(world, copy)


async def test_leaves_another_browser_of_the_user_signed_in(world: World) -> None:
    async with world.browser() as browser, world.browser() as other:
        await at_both(world, browser)
        elsewhere = await at_both(world, other)
        await browser.submit(await browser.open(f"{world.issuer}/account"), {"action": "sign_out"})
    assert await status_at_the_site(world, elsewhere) == 200
    assert await is_at_the_account(world, elsewhere)


async def test_leaves_apps_connected(world: World) -> None:
    client = await world.client(scope="tools")
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
        await at_both(world, browser)
        await browser.submit(await browser.open(f"{world.issuer}/mintage/sign-out"))
    sent = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await world.http.get(world.resource, headers=sent)).status_code == 200


async def test_does_not_claim_to_be_done_during_an_outage_of_the_store(world: World) -> None:
    async with world.browser() as browser:
        await at_both(world, browser)
        page = await browser.open(f"{world.issuer}/account")
        with failing(world.running.store):
            assert (await browser.submit(page, {"action": "sign_out"})).status == 503
        assert len(sessions_of(browser)) == 2


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}]
)
@pytest.mark.parametrize("page", ["account", "mintage/sign-out"])
async def test_says_when_another_site_sent_the_form(
    world: World, page: str, headers: dict[str, str]
) -> None:
    async with world.browser() as browser:
        cookies = await at_both(world, browser)
    answer = await world.http.post(
        f"{world.issuer}/{page}", data={"form": "AAAA"}, headers=headers | cookies
    )
    assert answer.status_code == 403
    assert "Another site may have sent this request" in answer.text
    assert "Open the page at this site, and use its button" in answer.text
    assert "Go back to the app" not in answer.text
    assert await status_at_the_site(world, cookies) == 200
