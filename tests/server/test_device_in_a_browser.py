"""The pages of ``/device`` in Chromium: in every language, both themes, on a phone, by axe-core."""

from typing import Any

import httpx2
import pytest
from playwright.async_api import Page

from mintage.clients.client import DEVICE_CODE
from mintage.testing.oauth_client import OAuthClient
from tests.support.pages_in_a_browser import checked
from tests.support.world import World

METADATA: dict[str, Any] = {
    "client_name": "Backup agent",
    "redirect_uris": [],
    "grant_types": [DEVICE_CODE, "refresh_token"],
    "response_types": [],
}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {
        "grant_types": {"device_code": {}},
        "branding": {"name": "Example Notes", "support": "help@example.com", "color": "#ffb000"},
        "scopes": {"texts": {"tools": "Use the notes server's tools"}},
        # The device is behind a proxy, in another network than the browser.
        "gateway": {"trusted_proxies": ["127.0.0.1"]},
    }


async def asked(world: World, client: OAuthClient) -> dict[str, Any]:
    form = {"client_id": client.client_id, "scope": "tools", "resource": client.resource}
    headers = {"x-forwarded-for": "203.0.113.7"}
    url = f"{world.issuer}/device_authorization"
    answer = await world.http.post(url, data=form, headers=headers)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def poll(client: OAuthClient, found: dict[str, Any]) -> httpx2.Response:
    return await client.token(grant_type=DEVICE_CODE, device_code=found["device_code"])


async def speak(tab: Page, language: str) -> None:
    await tab.set_extra_http_headers({"accept-language": language})


@pytest.mark.parametrize("language", ["en", "de", "ar"])
async def test_a_person_types_the_code_and_approves(tab: Page, world: World, language: str) -> None:
    client = await world.client(**METADATA)
    found = await asked(world, client)
    await speak(tab, language)
    await tab.goto(found["verification_uri"])
    await checked(tab, f"device-code-{language}")
    await tab.locator("#user_code").fill(found["user_code"].lower().replace("-", " "))
    await tab.keyboard.press("Enter")
    await tab.locator("button[value=approve]").wait_for()
    assert await tab.get_by_text("203.0.113.7").is_visible()
    assert await tab.get_by_text(found["user_code"]).is_visible()
    await checked(tab, f"device-question-{language}")
    await tab.locator("button[value=approve]").click()
    await tab.wait_for_url("**/callback?**")
    await checked(tab, f"device-done-{language}")
    assert (await poll(client, found)).status_code == 200


@pytest.mark.parametrize("language", ["en", "de", "ar"])
async def test_the_link_with_the_code_and_a_denial(tab: Page, world: World, language: str) -> None:
    client = await world.client(**METADATA)
    found = await asked(world, client)
    await speak(tab, language)
    await tab.goto(found["verification_uri_complete"])
    await checked(tab, f"device-compare-{language}")
    await tab.locator("button.button").click()
    await tab.locator("button[value=deny]").click()
    await tab.locator("p.quiet").wait_for()
    await checked(tab, f"device-denied-{language}")
    assert (await poll(client, found)).json()["error"] == "access_denied"


async def test_a_wrong_code_is_said_at_its_field(tab: Page, world: World) -> None:
    await tab.goto(f"{world.issuer}/device")
    await tab.locator("#user_code").fill("BBBB-BBBB")
    await tab.keyboard.press("Enter")
    await tab.get_by_role("alert").wait_for()
    assert await tab.locator("#user_code").get_attribute("aria-invalid") == "true"
    await checked(tab, "device-wrong")
