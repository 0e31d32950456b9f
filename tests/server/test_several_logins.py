"""One browser, several logins at once: an editor with many servers opens a tab for each."""

import asyncio
import re

import pytest

from mintage.server.cookies import LOGIN_SECONDS
from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import REDIRECT_URI, answer_of, approve
from tests.support.world import World


async def begun(world: World, browser: Browser, *, state: str = "s") -> str:
    """A login that was approved; the address that the provider sends the browser back to."""
    client = await world.client(client_name="The editor")
    browser.stop_at = (f"{world.upstream.issuer}/authorize",)
    at_provider = await approve(browser, client.authorization(state=state).url)
    browser.stop_at = (f"{world.issuer}/callback",)
    return (await browser.open(at_provider.url)).url


async def ended(browser: Browser, callback: str) -> Page:
    browser.stop_at = (REDIRECT_URI,)
    return await browser.open(callback)


@pytest.mark.parametrize("order", [1, -1])
async def test_ten_logins_are_begun_and_all_of_them_end(world: World, order: int) -> None:
    async with world.browser() as browser:
        callbacks = [await begun(world, browser, state=str(number)) for number in range(10)]
        for number, callback in list(enumerate(callbacks))[::order]:
            answer = answer_of(await ended(browser, callback))
            assert answer["code"]
            assert answer["state"] == str(number)


async def test_pages_that_were_opened_at_once_are_all_answered(world: World) -> None:
    """None of them came with a cookie of ours, and each brings one."""
    client = await world.client()
    async with world.browser() as browser:
        pages = await asyncio.gather(
            *(browser.open(client.authorization(state=str(n)).url) for n in range(4))
        )
        for number in (2, 0, 3, 1):
            landed = await browser.submit(pages[number], {"decision": "approve"})
            assert answer_of(landed)["state"] == str(number)
        later = await browser.open(client.authorization().url)
        assert answer_of(await browser.submit(later, {"decision": "approve"}))["code"]
        names = [name for name in browser.cookies if name.startswith("mintage-browser-")]
    assert len(names) <= 4


async def test_a_page_is_good_until_its_own_end_however_old_the_browsers_name_is(
    world: World,
) -> None:
    client = await world.client()
    first = await world.http.get(client.authorization().url)
    cookie = first.headers["set-cookie"].partition(";")[0]
    again = await world.http.get(client.authorization().url, headers={"cookie": cookie})
    assert again.headers["set-cookie"].startswith(f"{cookie};"), "the same name, for longer"
    for answer in (first, again):
        lives = re.search(r"Max-Age=([0-9]+)", answer.headers["set-cookie"])
        assert lives is not None
        assert int(lives[1]) > LOGIN_SECONDS


async def test_their_cookies_are_bounded_and_the_oldest_go(world: World) -> None:
    """Proxies refuse headers beyond 8 KiB; whoever comes too late reads a true sentence."""
    async with world.browser() as browser:
        callbacks = []
        for number in range(30):
            callbacks.append(await begun(world, browser, state=f"{number}{'x' * 200}"))
            world.clock.advance(1)
            assert len(world.cookies_of(browser)["cookie"]) < 7000
        assert answer_of(await ended(browser, callbacks[-1]))["code"]
        late = await ended(browser, callbacks[0])
        assert late.status == 403
        assert "many others were begun after it" in late.text
        kept = [name for name in browser.cookies if name.startswith("mintage-login-")]
        assert len(kept) >= 4


async def test_a_form_of_another_browser_is_refused_whatever_names_it_has(world: World) -> None:
    client = await world.client()
    async with world.browser() as one, world.browser() as other:
        page = await one.open(client.authorization().url)
        for _ in range(3):
            await other.open(client.authorization().url)
        answer = await world.http.post(
            f"{world.issuer}/consent",
            data=page.form().fields | {"decision": "approve"},
            headers=world.cookies_of(other),
        )
    assert answer.status_code == 403
