"""Attacks on a remembered consent, by the numbers in docs/security.md.

The attacker has begun a login at the app, with an account of the attacker's own there, and wants
the victim's browser to finish it without a question.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import OAuthClient, answer_of
from tests.support.remembered_consent import (
    APP,
    AT,
    DAY,
    HINT,
    OTHER,
    SITE,
    agree,
    app_of,
    asks,
)
from tests.support.world import World

LOCAL = [
    "http://127.0.0.1:43117/callback",
    "https://localhost/cb",
    "https://app.localhost/cb",
    "https://127.0.0.2/cb",
    "https://[::1]/cb",
    "com.example:/cb",
]
PROGRAM = {"client_id": "program", "redirect_uris": LOCAL}
FROM_THE_APP = {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "referer": SITE,
}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"consent": {"remember_seconds": 30 * DAY}, "client": [APP, OTHER, PROGRAM]}


async def remembering(world: World, browser: Browser, **parameters: str | None) -> OAuthClient:
    """The app, which *browser* is not asked about any more."""
    client = app_of(world)
    await agree(world, browser, client.authorization(**parameters).url)
    landed = await browser.open(client.authorization(**parameters).url, link_on=SITE)
    assert landed.url.startswith(AT)
    return client


async def asked(
    world: World,
    browser: Browser,
    client: OAuthClient,
    headers: Mapping[str, str | None] | None = None,
    **parameters: str | None,
) -> bool:
    """Whether a request with these headers and parameters gets the question."""
    sent = {**FROM_THE_APP, **(headers or {}), **world.cookies_of(browser)}
    answer = await world.http.get(
        client.authorization(**parameters).url,
        headers={name: value for name, value in sent.items() if value is not None},
    )
    return asks(answer)


async def issued(world: World) -> int:
    """How many grants there are."""
    return len([grant async for grant in world.running.vault.listing.find()])


class TestB03WhatWasAgreedTo:
    async def test_attack_b03_another_client_is_asked_about(self, world: World) -> None:
        """The same redirect URI, by another client."""
        async with world.browser() as browser:
            await remembering(world, browser)
            assert await asked(world, browser, app_of(world, "other"))

    async def test_attack_b03_another_redirect_uri_is_asked_about(self, world: World) -> None:
        async with world.browser() as browser:
            await remembering(world, browser)
            assert await asked(world, browser, app_of(world, redirect_uri=f"{AT}/2"))

    @pytest.mark.parametrize("scope", ["tools admin", "admin", "tools"])
    async def test_attack_b03_other_scopes_are_asked_about(self, world: World, scope: str) -> None:
        """More, others, or fewer."""
        before = "tools admin" if scope == "tools" else "tools"
        async with world.browser() as browser:
            client = await remembering(world, browser, scope=before)
            assert await asked(world, browser, client, scope=scope)

    async def test_attack_b03_another_resource_is_asked_about(self, world: World) -> None:
        """Both have the scope."""
        async with world.browser() as browser:
            client = await remembering(world, browser, scope="tools")
            other = f"{world.issuer}/second"
            assert await asked(world, browser, client, scope="tools", resource=other)

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        backend = "the backend of the world"
        return {
            "consent": {"remember_seconds": 30 * DAY},
            "client": [APP, OTHER],
            "resource": [
                {"path": path, "backend": backend, "scopes": ["tools", "admin"]}
                for path in ("/mcp", "/second")
            ],
        }


class TestB03WhoseConsentMayBeRemembered:
    async def test_attack_b03_a_client_that_registered_itself_is_always_asked_about(
        self, world: World
    ) -> None:
        """Anyone can register with the name and the address of any app."""
        client = await world.client(redirect_uris=[AT])
        client.redirect_uri = AT
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url, link_on=SITE)
            await browser.submit(page, {"decision": "approve", "remember": "yes"})
            assert HINT not in browser.cookies
            assert await asked(world, browser, client)

    @pytest.mark.parametrize("redirect_uri", LOCAL)
    async def test_attack_b03_a_program_on_the_device_is_always_asked_about(
        self, world: World, redirect_uri: str
    ) -> None:
        """Any program there can take its place (RFC 8252 §8.6)."""
        client = app_of(world, "program", redirect_uri)
        async with world.browser() as browser:
            browser.stop_at = (*browser.stop_at, redirect_uri)
            page = await browser.open(client.authorization().url, link_on=SITE)
            await browser.submit(page, {"decision": "approve", "remember": "yes"})
            assert HINT not in browser.cookies
            assert await asked(world, browser, client, {"referer": redirect_uri})

    @pytest.mark.parametrize("prompt", ["consent", "login", "select_account"])
    async def test_attack_b03_a_request_that_wants_a_question_gets_it(
        self, world: World, prompt: str
    ) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            assert await asked(world, browser, client, prompt=prompt)


class TestB03WhoAgreed:
    async def test_attack_b03_another_user_is_asked(self, world: World) -> None:
        """In the same browser: nothing is issued, and the page comes after the login."""
        async with world.browser() as browser:
            client = await remembering(world, browser)
            before = await issued(world)
            world.upstream.user = "bob"
            page = await browser.open(client.authorization().url, link_on=SITE)
            assert asks(page)
            assert await issued(world) == before
            landed = await browser.submit(page, {"decision": "approve"})
            assert "code" in answer_of(landed)

    async def test_attack_b03_a_cookie_of_another_browser_agrees_to_nothing(
        self, world: World
    ) -> None:
        """The victim agreed in another browser. The attacker gives this one the attacker's hint."""
        async with (
            world.browser() as at_home,
            world.browser() as victims,
            world.browser() as attackers,
        ):
            await remembering(world, at_home)
            world.upstream.user = "mallory"
            client = await remembering(world, attackers)
            world.upstream.user = "alice"
            victims.cookies.set(HINT, attackers.cookies[HINT])
            before = await issued(world)
            assert asks(await victims.open(client.authorization().url, link_on=SITE))
            assert await issued(world) == before

    @pytest.mark.parametrize("value", ["AAAA", "not base64!", "A" * 3000])
    async def test_attack_b03_a_made_up_cookie_agrees_to_nothing(
        self, world: World, value: str
    ) -> None:
        async with world.browser() as browser:
            browser.cookies.set(HINT, value)
            assert asks(await browser.open(app_of(world).authorization().url, link_on=SITE))

    async def test_attack_b03_a_login_is_not_finished_in_another_browser(
        self, world: World
    ) -> None:
        """The attacker stops before the callback, and sends its address to the victim (B02)."""
        async with world.browser() as attackers, world.browser() as victims:
            client = await remembering(world, attackers)
            await remembering(world, victims)
            attackers.stop_at = (f"{world.issuer}/callback",)
            callback = await attackers.open(client.authorization().url, link_on=SITE)
            assert (await victims.open(callback.url, link_on=SITE)).status == 403


class TestB03HowItBegan:
    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-dest": "iframe"},
            {"sec-fetch-dest": "frame"},
            {"sec-fetch-dest": "embed"},
            {"sec-fetch-dest": None},
        ],
    )
    async def test_attack_b03_a_frame_is_asked(
        self, world: World, headers: dict[str, str | None]
    ) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            assert await asked(world, browser, client, headers)

    @pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin", "websocket", None])
    async def test_attack_b03_a_fetch_is_asked(self, world: World, mode: str | None) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            assert await asked(world, browser, client, {"sec-fetch-mode": mode})

    @pytest.mark.parametrize(
        "referer",
        [
            "https://evil.example/",
            "https://app.example.evil.example/",
            "https://app.example@evil.example/",
            "https://app.example:8443/",
            "http://app.example/",
            "https://www.app.example/",
            "{issuer}/",
            "https://",
            "null",
            "https://[",
        ],
    )
    async def test_attack_b03_a_link_of_another_site_is_asked(
        self, world: World, referer: str
    ) -> None:
        """Also one on Mintage's own origin, where backends may show other people's links."""
        async with world.browser() as browser:
            client = await remembering(world, browser)
            link = referer.format(issuer=world.issuer)
            assert await asked(world, browser, client, {"referer": link})

    @pytest.mark.parametrize("site", ["none", "cross-site"])
    async def test_attack_b03_a_link_in_a_mail_is_asked(self, world: World, site: str) -> None:
        """It has no address of a page."""
        async with world.browser() as browser:
            client = await remembering(world, browser)
            headers = {"sec-fetch-site": site, "referer": None}
            assert await asked(world, browser, client, headers)

    async def test_attack_b03_two_addresses_of_pages_are_none(self, world: World) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            sent = [*(FROM_THE_APP | world.cookies_of(browser)).items()]
            sent.append(("referer", "https://evil.example/"))
            assert asks(await world.http.get(client.authorization().url, headers=sent))

    async def test_attack_b03_a_page_that_is_loaded_in_advance_is_asked(self, world: World) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            headers = {"sec-purpose": "prefetch;prerender"}
            assert await asked(world, browser, client, headers)

    async def test_attack_b03_a_form_of_another_site_is_asked(self, world: World) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            url, _, query = client.authorization().url.partition("?")
            headers = FROM_THE_APP | world.cookies_of(browser)
            headers["content-type"] = "application/x-www-form-urlencoded"
            assert asks(await world.http.post(url, content=query, headers=headers))


class TestB03ItsEnd:
    async def test_attack_b03_an_expired_consent_is_asked_for(self, world: World) -> None:
        async with world.browser() as browser:
            client = await remembering(world, browser)
            world.clock.advance(30 * DAY - 1)
            landed = await browser.open(client.authorization().url, link_on=SITE)
            assert landed.url.startswith(AT)
            world.clock.advance(1)
            assert asks(await browser.open(client.authorization().url, link_on=SITE))

    async def test_attack_b03_a_consent_that_expires_on_the_way_issues_nothing(
        self, world: World
    ) -> None:
        """The browser's hint was still valid at the start."""
        async with world.browser() as browser:
            client = await remembering(world, browser)
            world.clock.advance(30 * DAY - 1)
            browser.stop_at = (f"{world.issuer}/callback", "https://")
            callback = await browser.open(client.authorization().url, link_on=SITE)
            before = await issued(world)
            world.clock.advance(1)
            browser.stop_at = ("https://",)
            assert asks(await browser.open(callback.url, link_on=world.upstream.issuer))
            assert await issued(world) == before

    async def test_attack_b03_a_forgotten_consent_is_asked_for(self, world: World) -> None:
        """Forgotten in another browser: this one still has its hint, and nothing is issued."""
        async with world.browser() as browser:
            client = await remembering(world, browser)
            before = await issued(world)
            consents = world.running.vault.consents
            issuer = world.upstream.issuer
            for stored in [one async for one in consents.of(issuer, "alice")]:
                await consents.forget(stored)
            assert HINT in browser.cookies
            assert asks(await browser.open(client.authorization().url, link_on=SITE))
            assert await issued(world) == before
            assert HINT not in browser.cookies, "the next login asks at once"
