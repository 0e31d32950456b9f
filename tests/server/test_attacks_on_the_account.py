"""Attacks on the page of the connected apps, by the numbers in docs/security.md."""

import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.support.account import PROVIDER, SESSION, complaint, grants_on, sign_in
from tests.support.world import World


async def connected(world: World) -> tuple[OAuthClient, str]:
    """An app of the provider's user, and its access token."""
    client = await world.client(client_name="The Editor")
    async with world.browser() as browser:
        token: str = (await client.tokens(browser))["access_token"]
    return client, token


class TestB04ForgedForms:
    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
        ],
    )
    async def test_attack_b04_another_site_disconnects_no_app(
        self, world: World, headers: dict[str, str]
    ) -> None:
        client, token = await connected(world)
        async with world.browser() as browser:
            page = await sign_in(world, browser)
            answer = await world.http.post(
                f"{world.issuer}/account",
                data=page.form().fields | {"action": "disconnect_all"},
                headers=headers | world.cookies_of(browser),
            )
        assert answer.status_code == 403
        assert (await client.call(token)).status_code == 200

    async def test_attack_b04_a_form_of_another_browser_disconnects_no_app(
        self, world: World
    ) -> None:
        client, token = await connected(world)
        async with world.browser() as victims, world.browser() as attackers:
            await sign_in(world, victims)
            world.upstream.user = "mallory"
            forged = await sign_in(world, attackers)
            answer = await victims.submit(forged, {"action": "disconnect_all"})
        assert answer.status == 403
        assert (await client.call(token)).status_code == 200

    @pytest.mark.parametrize("form", ["AAAA", "not base64!", "A" * 5000])
    async def test_attack_b04_a_made_up_form_disconnects_no_app(
        self, world: World, form: str
    ) -> None:
        client, token = await connected(world)
        async with world.browser() as browser:
            page = await sign_in(world, browser)
            answer = await browser.submit(page, {"form": form, "action": "disconnect_all"})
        assert (answer.status, complaint(answer)) == (400, "Open this page again")
        assert (await client.call(token)).status_code == 200

    async def test_attack_b04_an_old_form_disconnects_no_app(self, world: World) -> None:
        client, token = await connected(world)
        async with world.browser() as browser:
            old = await sign_in(world, browser)
            await browser.submit(old, {"action": "sign_out"})
            await sign_in(world, browser)
            answer = await browser.submit(old, {"action": "disconnect_all"})
        assert (answer.status, complaint(answer)) == (400, "Open this page again")
        assert (await client.call(token)).status_code == 200

    async def test_attack_b04_nor_can_a_consent_form_stand_in_for_it(self, world: World) -> None:
        client, token = await connected(world)
        async with world.browser() as browser:
            await sign_in(world, browser)
            question = await browser.open(client.authorization().url)
            answer = await world.http.post(
                f"{world.issuer}/account",
                data={"form": question.form().fields["request"], "action": "disconnect_all"},
                headers=world.cookies_of(browser),
            )
        assert answer.status_code == 400
        assert (await client.call(token)).status_code == 200


class TestB13TheAccountPage:
    async def test_attack_b13_an_app_of_another_user_is_not_disconnected(
        self, world: World
    ) -> None:
        client, token = await connected(world)
        async with world.browser() as alices, world.browser() as mallorys:
            (grant,) = grants_on(await sign_in(world, alices))
            world.upstream.user = "mallory"
            page = await sign_in(world, mallorys)
            for sent in ({"grant": grant}, {"action": "disconnect_all"}):
                assert (await mallorys.submit(page, sent)).status == 200
        assert (await client.call(token)).status_code == 200

    async def test_attack_b13_nobody_is_signed_in_by_another_site(self, world: World) -> None:
        """Login CSRF: the victim's browser gets the attacker's callback, or begins a login."""
        async with world.browser() as attackers, world.browser() as victims:
            page = await attackers.open(f"{world.issuer}/account")
            attackers.stop_at = (f"{world.issuer}/callback",)
            callback = await attackers.submit(page, {"upstream": PROVIDER})
            answer = await victims.open(callback.url)
            assert answer.status == 403
            begun = await victims.submit(page, {"upstream": PROVIDER})
            assert begun.status == 403
            assert SESSION not in victims.cookies

    async def test_attack_b13_a_callback_with_the_attackers_code_signs_nobody_in(
        self, world: World
    ) -> None:
        async with world.browser() as attackers, world.browser() as victims:
            back = (f"{world.issuer}/callback",)
            attackers.stop_at = victims.stop_at = back
            landed = []
            for browser in (attackers, victims):
                page = await browser.open(f"{world.issuer}/account")
                landed.append((await browser.submit(page, {"upstream": PROVIDER})).url)
            code = landed[0].partition("code=")[2].partition("&")[0]
            own = landed[1].partition("code=")[2].partition("&")[0]
            victims.stop_at = ()
            assert (await victims.open(landed[0])).status == 403
            answer = await victims.open(landed[1].replace(own, code))
            assert answer.status == 400
            assert SESSION not in victims.cookies

    async def test_attack_b13_a_session_that_was_there_before_is_not_taken_over(
        self, world: World
    ) -> None:
        """Fixation: each login has a session of its own, and a form is of one session."""
        async with world.browser() as browser:
            before = await sign_in(world, browser)
            old = browser.cookies[SESSION]
            world.upstream.user = "bob"
            page = await browser.submit(before, {"upstream": PROVIDER})
            assert "bob" in page.text
            assert browser.cookies[SESSION] != old
            answer = await browser.submit(before, {"action": "disconnect_all"})
        assert (answer.status, complaint(answer)) == (400, "Open this page again")

    async def test_attack_b13_the_session_opens_nothing_but_the_page(self, world: World) -> None:
        async with world.browser() as browser:
            await sign_in(world, browser)
            cookie = world.cookies_of(browser)
            value = browser.cookies[SESSION]
        assert (await world.http.get(world.resource, headers=cookie)).status_code == 401
        assert world.backend.requests == []
        bearer = {"authorization": f"Bearer {value}"}
        assert (await world.http.get(world.resource, headers=bearer)).status_code == 401

    async def test_attack_b13_a_login_of_the_page_gives_no_app_a_code(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            stored = world.stored()
            login = client.authorization()
            question = await browser.open(login.url)
            await sign_in(world, browser)
            assert world.stored() == stored + 1, "the claim of its callback, and no grant"
            assert question.form().fields["request"]
            page = await browser.open(login.url)
        assert "Allow and log in" in page.text
