"""Consent before the provider (MCP, Security Best Practices: confused deputy), line by line."""

import base64
import inspect
import secrets
from typing import Any

import pytest

from mintage.app import Mintage
from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import REDIRECT_URI, answer_of, approve
from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {
        "resource": [
            {
                "path": "/mcp",
                "backend": "http://127.0.0.1:9/mcp",
                "scopes": ["tools"],
                "optional_scopes": ["calendar", "admin"],
            }
        ],
        "scopes": {"upstream": {"calendar": ["https://idp.example/calendar"]}},
    }


def login_cookies(browser: Browser) -> set[str]:
    return {name for name in browser.cookies if name.startswith("mintage-login-")}


async def approved(world: World, browser: Browser, url: str) -> Page:
    """Approve, and stop at the provider's door."""
    browser.stop_at = (f"{world.upstream.issuer}/authorize",)
    page = await approve(browser, url)
    browser.stop_at = (REDIRECT_URI, "https://")
    return page


async def test_spec030_the_provider_is_asked_only_after_a_person_agreed(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        assert world.upstream.queries == []
        await browser.submit(page, {"decision": "approve"})
    assert len(world.upstream.queries) == 1


async def test_spec030_a_denial_never_reaches_the_provider(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        await browser.submit(page, {"decision": "deny"})
        assert login_cookies(browser) == set()
    assert world.upstream.queries == []


async def test_spec031_approval_is_of_one_login_and_is_kept_by_no_one(world: World) -> None:
    """No list of approved clients that another could ride on: each login is asked about."""
    client = await world.client()
    async with world.browser() as browser:
        await client.tokens(browser)
        page = await browser.open(client.authorization().url)
        assert page.form().fields["request"]
        assert len(world.upstream.queries) == 1
        (only,) = browser.cookies
        assert only.startswith("mintage-browser-")


@pytest.mark.parametrize("scope", ["tools", "tools calendar"])
async def test_spec032_each_scope_asked_of_the_provider_is_on_the_page(
    world: World, scope: str
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization(scope=scope).url)
        await browser.submit(page, {"decision": "approve"})
    asked = world.upstream.queries[0]["scope"].split()
    assert ("https://idp.example/calendar" in asked) == ("calendar" in scope)
    listed = page.text.partition("this server asks there for: <bdi>")[2]
    shown = listed.partition("<")[0].split(", ")
    assert shown == asked


async def test_spec034_a_login_cookie_is_for_one_client_and_can_not_be_changed(
    world: World,
) -> None:
    """Another login's cookie under this login's name, or one letter changed, opens nothing."""
    ours, other = await world.client(), await world.client(client_name="Another")
    async with world.browser() as browser:
        at_provider = await approved(world, browser, ours.authorization().url)
        (mine,) = login_cookies(browser)
        await approved(world, browser, other.authorization().url)
        (theirs,) = login_cookies(browser) - {mine}
        values = {name: str(browser.cookies.get(name)) for name in (mine, theirs)}
        browser.stop_at = (f"{world.issuer}/callback",)
        callback = (await browser.open(at_provider.url)).url
    good = values[mine]
    for forged in (values[theirs], good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), ""):
        cookie = {"cookie": f"{mine}={forged}"}
        assert (await world.http.get(callback, headers=cookie)).status_code == 403
    answer = await world.http.get(callback, headers={"cookie": f"{mine}={good}"})
    assert f"url={REDIRECT_URI}?" in answer.text


async def test_spec035_state_and_its_cookie_come_with_the_approval_and_not_before(
    world: World,
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        assert login_cookies(browser) == set()
        assert world.stored() == 0
        browser.stop_at = (f"{world.upstream.issuer}/authorize",)
        states = [
            answer_of(await browser.submit(page, {"decision": "approve"}))["state"]
            for _ in range(2)
        ]
        assert len(login_cookies(browser)) == 2
    assert len(set(states)) == 2, "one for each request, the same form or not"
    assert {len(state) for state in states} == {43}, "256 bits"


class TestRandomBytes:
    @pytest.fixture
    def thrown(self) -> list[bytes]:
        return []

    @pytest.fixture
    def parts(self, thrown: list[bytes]) -> dict[str, Any]:
        def random_bytes(count: int) -> bytes:
            thrown.append(secrets.token_bytes(count))
            return thrown[-1]

        return {"random_bytes": random_bytes}

    async def test_spec035_state_is_made_of_the_systems_random_bytes(
        self, world: World, thrown: list[bytes]
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            page = await approved(world, browser, client.authorization().url)
        assert answer_of(page)["state"] in {_base64url(raw) for raw in thrown}
        assert inspect.signature(Mintage).parameters["random_bytes"].default is secrets.token_bytes


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_spec036_a_state_that_this_browser_does_not_know_is_refused(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await approved(world, browser, client.authorization().url)
        state = answer_of(page)["state"]
        for wrong in (state[:-1], state.swapcase(), state + "A", "x"):
            url = f"{world.issuer}/callback?code=x&state={wrong}&iss={world.upstream.issuer}"
            assert (await browser.open(url)).status == 403
        missing = await browser.open(f"{world.issuer}/callback?code=x&iss={world.upstream.issuer}")
        assert missing.status == 400
    assert world.upstream.seen["token"] == 0


async def test_spec037_a_callback_works_once(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        at_provider = await approved(world, browser, client.authorization().url)
        browser.stop_at = (f"{world.issuer}/callback",)
        callback = (await browser.open(at_provider.url)).url
        cookies = world.cookies_of(browser)
    first = await world.http.get(callback, headers=cookies)
    again = await world.http.get(callback, headers=cookies)
    assert (first.status_code, again.status_code) == (200, 400)
    assert REDIRECT_URI not in again.text
    assert world.upstream.seen["authorization_code"] == 1


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("https://*.app.example/cb", 400),
        ("https://*/cb", 400),
        ("http://127.0.0.1:*/cb", 400),
        ("https://app.example:*/cb", 400),
        ("*", 400),
        ("https://app.example/*", 201),
    ],
)
async def test_spec038_a_star_is_no_pattern(world: World, uri: str, status: int) -> None:
    registered = await world.http.post(
        f"{world.issuer}/register",
        json={"redirect_uris": [uri], "token_endpoint_auth_method": "none"},
    )
    assert registered.status_code == status
    if status != 201:
        return
    client = await world.client(redirect_uris=[uri])
    for asked, expected in ((uri, 200), ("https://app.example/cb", 400)):
        answer = await world.http.get(client.authorization(redirect_uri=asked).url)
        assert answer.status_code == expected


@pytest.mark.parametrize(
    ("uri", "host", "warned"),
    [
        ("http://127.0.0.1:43117/callback", "127.0.0.1:43117", True),
        ("http://localhost:8080/cb", "localhost:8080", True),
        ("http://[::1]:8080/cb", "[::1]:8080", True),
        ("https://app.example/cb", "app.example", False),
    ],
)
async def test_spec039_the_page_names_the_host_and_warns_of_this_computer(
    world: World, uri: str, host: str, *, warned: bool
) -> None:
    client = await world.client(redirect_uris=[uri])
    page = await world.http.get(client.authorization(redirect_uri=uri).url)
    assert f'<strong><bdi dir="ltr">{host}</bdi></strong>' in page.text
    assert ("on <strong>this computer</strong>" in page.text) == warned


async def test_spec040_a_resource_asks_for_no_more_than_it_needs(world: World) -> None:
    """What only some requests need is not asked for at the start, and no scope means all."""
    document = await world.http.get(f"{world.issuer}/.well-known/oauth-protected-resource/mcp")
    refused = await world.http.get(world.resource)
    assert document.json()["scopes_supported"] == ["tools"]
    assert 'scope="tools"' in refused.headers["www-authenticate"]
    client = await world.client()
    async with world.browser() as browser:
        usual = await client.tokens(browser)
    assert usual["scope"] == "tools"
    for omnibus in ("*", "all", "tools *"):
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope=omnibus)
        assert tokens["scope"] == "tools", omnibus
