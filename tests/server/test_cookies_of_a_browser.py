"""All cookies of Mintage in one browser fit into a header: nginx refuses lines beyond 8 KiB."""

from typing import Any

import pytest
from starlette.requests import Request

from mintage.server.cookies import cookies_of
from mintage.testing.browser import Browser
from tests.server.test_several_logins import begun, ended
from tests.support.account import sign_in
from tests.support.browsers import signed_in, two_resources
from tests.support.world import World

MOST = 6500


@pytest.fixture
def overrides() -> dict[str, Any]:
    return two_resources()


def size(world: World, browser: Browser) -> int:
    return len(world.cookies_of(browser)["cookie"])


async def lured(world: World, browser: Browser, length: int = 490) -> int:
    """Another site sends *browser* to a login at a site here; the status of the answer."""
    browser.stop_at = (world.upstream.issuer,)
    address = "/site/?q=".ljust(length, "a")
    return (await browser.open(f"{world.issuer}/mintage/sign-in?to={address}")).status


async def test_logins_of_apps_and_of_sites_are_bounded_together(world: World) -> None:
    async with world.browser() as browser:
        await signed_in(world, browser)
        await sign_in(world, browser)
        for number in range(15):
            await begun(world, browser, state=f"{number}{'x' * 200}")
            await lured(world, browser)
            world.clock.advance(1)
            assert size(world, browser) < MOST


async def test_a_login_of_an_app_goes_on_whatever_logins_at_sites_are_begun(world: World) -> None:
    async with world.browser() as browser:
        callback = await begun(world, browser)
        for _ in range(20):
            await lured(world, browser)
            world.clock.advance(1)
        assert "code=" in (await ended(browser, callback)).url
        assert size(world, browser) < MOST


async def test_an_address_to_come_back_to_has_at_most_500_characters(world: World) -> None:
    async with world.browser() as browser:
        assert await lured(world, browser, 501) == 400
        assert await lured(world, browser, 500) != 400


def test_the_cookies_of_a_request_are_those_of_its_headers_now() -> None:
    scope = {"type": "http", "headers": [(b"cookie", b"a=1; b=2"), (b"cookie", b"c=3")]}
    assert cookies_of(Request(scope)) == {"a": "1", "b": "2", "c": "3"}
    other = {**scope, "headers": [(b"cookie", b"a=2")]}
    assert cookies_of(Request(other)) == {"a": "2"}
    assert cookies_of(Request(scope)) == {"a": "1", "b": "2", "c": "3"}
