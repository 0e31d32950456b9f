"""The pages in Chromium: in both themes, on a phone, enlarged, by keyboard, and under axe-core."""

from typing import Any

import pytest
from playwright.async_api import Page

from mintage.testing.oauth_client import OAuthClient
from tests.support.pages_in_a_browser import checked, fits
from tests.support.provider_settings import section
from tests.support.world import World

CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"


@pytest.fixture
def overrides(world_upstreams: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "branding": {"name": "Example Notes", "support": "help@example.com", "color": "#ffb000"},
        "scopes": {"texts": {"tools": "Use the notes server's tools"}},
        "allow": [{"email_domains": ["example.com"]}],
        "upstream": world_upstreams,
    }


@pytest.fixture
def world_upstreams(upstream: Any) -> list[dict[str, Any]]:
    return [
        section(upstream, "staff", title="Our staff", legacy_default=True),
        section(upstream, "partners", title="Partners"),
    ]


@pytest.mark.parametrize(
    ("language", "name"), [("en", "Cursor"), ("de", "W" * 60), ("ar", "Cursor"), ("ar", "W" * 60)]
)
async def test_the_question(tab: Page, world: World, language: str, name: str) -> None:
    client = await world.client(client_name=name, redirect_uris=[CURSOR])
    login = client.authorization(redirect_uri=CURSOR, ui_locales=language)
    await tab.goto(login.url)
    await checked(tab, f"question-{language}{'' if name == 'Cursor' else '-long'}")


async def test_the_question_of_an_app_that_nobody_knows(
    tab: Page, landing_client: OAuthClient
) -> None:
    await landing_client.register(client_name="The Notes CLI")
    await tab.goto(landing_client.authorization(acr_values="idp:staff").url)
    await checked(tab, "question-unknown")


@pytest.mark.parametrize("language", ["en", "de", "ar"])
async def test_the_end_of_a_programs_login(tab: Page, world: World, language: str) -> None:
    """Chromium has no program for the scheme: the page stays, and its button is the way on."""
    client = await world.client(redirect_uris=[CURSOR])
    login = client.authorization(redirect_uri=CURSOR, ui_locales=language)
    await tab.goto(login.url)
    await tab.locator("button[value=staff]").click()
    await tab.wait_for_url("**/callback?**")
    href = await tab.locator("a.button").get_attribute("href")
    assert href is not None
    assert href.startswith(f"{CURSOR}?code=")
    await checked(tab, f"end-{language}")


async def test_a_denial(tab: Page, world: World) -> None:
    client = await world.client(redirect_uris=[CURSOR])
    await tab.goto(client.authorization(redirect_uri=CURSOR).url)
    await tab.get_by_role("button", name="Deny").click()
    await tab.get_by_role("heading", name="You denied access").wait_for()
    await checked(tab, "denied")


async def test_who_is_not_let_in(tab: Page, world: World, landing_client: OAuthClient) -> None:
    world.upstream.claims["email"] = "bob@elsewhere.example"
    await tab.goto(landing_client.authorization().url)
    await tab.locator("button[value=partners]").click()
    await tab.get_by_text("bob@elsewhere.example").wait_for()
    await checked(tab, "not-let-in")
    await tab.get_by_role("link", name="Use another account").click()
    world.upstream.claims["email"] = "bob@example.com"
    await tab.locator("button[value=partners]").click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    assert world.upstream.queries[-1]["prompt"] == "select_account"


async def test_an_error(tab: Page, world: World) -> None:
    client = await world.client()
    await tab.goto(client.authorization(redirect_uri="https://evil.example/").url)
    assert not await tab.get_by_text("Redirect_uri must be").is_visible()
    await checked(tab, "error")
    await tab.get_by_text("For developers").click()
    assert await tab.get_by_text("Redirect_uri must be").is_visible()


@pytest.mark.parametrize("path", ["/", "/mcp", "/.well-known/oauth-authorization-server"])
async def test_an_address_for_apps(tab: Page, world: World, path: str) -> None:
    await tab.goto(world.issuer + path)
    await tab.get_by_text("claude mcp add").first.wait_for()
    await checked(tab, "about" + path.replace("/", "-")[:5])


async def test_twice_the_size(tab: Page, world: World) -> None:
    """WCAG 2.2 §1.4.4: at 200 % a window of 1280 pixels has room for 640."""
    client = await world.client(redirect_uris=[CURSOR])
    await tab.goto(client.authorization(redirect_uri=CURSOR).url)
    await tab.set_viewport_size({"width": 640, "height": 450})
    await tab.evaluate("document.documentElement.style.fontSize = '200%'")
    assert await fits(tab)


async def test_each_provider_is_one_press_of_a_key_away(
    tab: Page, world: World, landing_client: OAuthClient
) -> None:
    await tab.goto(landing_client.authorization().url)
    names = []
    while "deny" not in names:
        await tab.keyboard.press("Tab")
        names.append(await tab.evaluate("document.activeElement.value"))
    assert names == ["staff", "partners", "deny"]
    outline = await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
