"""The way from a page of Mintage to the logout at the provider."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mintage.testing.browser import Browser
from tests.support.account import sign_in
from tests.support.browsers import signed_in, two_resources
from tests.support.logout_tokens import logout_token
from tests.support.world import World

AT_THE_PROVIDER = {"action": "sign_out_at_provider"}


@pytest.fixture(params=[False, True], ids=["stays there", "comes back"])
def returns(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def overrides(upstream: Any, returns: bool) -> dict[str, Any]:  # noqa: FBT001
    upstream.metadata["end_session_endpoint"] = f"{upstream.url}/end?at=once"
    section = {
        "issuer": upstream.issuer,
        "client_id": upstream.client_id,
        "client_secret": "env:UPSTREAM_SECRET",
        "returns_after_logout": returns,
    }
    return two_resources() | {"upstream": section}


def asked(world: World, url: str) -> dict[str, list[str]]:
    """The parameters of a logout at the provider."""
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{world.upstream.url}/end"
    found = parse_qs(parts.query)
    assert found.pop("at") == ["once"]
    assert found.pop("client_id") == ["mintage"]
    return found


def stopping(world: World) -> Browser:
    return Browser(stop_at=(f"{world.upstream.url}/end",))


async def test_signing_out_at_the_account_page_may_go_on_to_the_provider(
    world: World,
    returns: bool,  # noqa: FBT001
) -> None:
    async with stopping(world) as browser:
        page = await sign_in(world, browser)
        landed = await browser.submit(page, AT_THE_PROVIDER)
        back = {"post_logout_redirect_uri": [f"{world.issuer}/account"]}
        assert asked(world, landed.url) == (back if returns else {})
        assert "Sign in at" in (await browser.open(f"{world.issuer}/account")).text


async def test_the_sign_out_page_of_browsers_links_to_the_provider(
    world: World,
    returns: bool,  # noqa: FBT001
) -> None:
    async with stopping(world) as browser:
        await signed_in(world, browser)
        page = await browser.open(f"{world.issuer}/mintage/sign-out")
        done = await browser.submit(page)
        url = next(link for link in done.text.split('"') if link.startswith(world.upstream.url))
        back = {"post_logout_redirect_uri": [f"{world.issuer}/mintage/sign-out"]}
        assert asked(world, url.replace("&amp;", "&")) == (back if returns else {})


async def test_a_provider_without_a_logout_is_not_offered(world: World) -> None:
    del world.upstream.metadata["end_session_endpoint"]
    world.clock.advance(3601)  # the provider's metadata is read again
    async with world.browser() as browser:
        page = await sign_in(world, browser)
        assert "sign_out_at_provider" not in page.text
        after = await browser.submit(page, AT_THE_PROVIDER)  # a page from before
        assert "Sign in at" in after.text


async def test_an_outage_of_the_provider_stops_no_sign_out(world: World) -> None:
    async with world.browser() as browser:
        page = await sign_in(world, browser)
        world.upstream.faults["discovery"] = "503"
        world.clock.advance(600)
        after = await browser.submit(page, {"action": "sign_out"})
        assert "Sign in at" in after.text


async def test_a_logout_at_the_provider_ends_the_session_of_a_browser(world: World) -> None:
    world.upstream.claims["sid"] = "s1"
    async with world.browser() as browser:
        await signed_in(world, browser)
        cookies = world.cookies_of(browser)
    form = {"logout_token": logout_token(world.upstream, sub=None, sid="s1")}
    answer = await world.http.post(f"{world.issuer}/backchannel-logout", data=form)
    assert answer.status_code == 200
    refused = await world.http.get(f"{world.issuer}/site/", headers=cookies)
    assert refused.status_code == 401
