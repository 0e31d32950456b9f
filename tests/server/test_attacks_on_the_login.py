"""ATTACKS, section B: what is tried against a login, on the real endpoints."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of, approve
from tests.server.ways_back import told, way_back
from tests.support.world import World


async def callback_url(world: World, browser: Browser, url: str) -> str:
    """Approve, log in at the provider, and stop with the callback not yet opened."""
    browser.stop_at = (f"{world.issuer}/callback",)
    page = await approve(browser, url)
    browser.stop_at = (REDIRECT_URI, "https://")
    return page.url


async def headers_of_pages(world: World) -> list[Mapping[str, str]]:
    """The headers of one page of each kind: the question, the way on, a refusal."""
    client = await world.client()
    async with world.browser() as browser:
        question = await browser.open(client.authorization().url)
        answered = await world.http.post(
            f"{world.issuer}/consent",
            data=question.form().fields | {"decision": "approve"},
            headers=world.cookies_of(browser),
        )
    refusal = await world.http.get(f"{world.issuer}/authorize?client_id=unknown")
    assert (question.status, answered.status_code, refusal.status_code) == (200, 200, 401)
    return [question.headers, answered.headers, refusal.headers]


class TestB01AutomaticApprovalUpstream:
    async def test_attack_b01_a_person_is_asked_before_the_provider_is(self, world: World) -> None:
        """The attacker's link alone brings no code, though the provider approves by itself."""
        attacker = await world.client(
            client_name="Nice App", redirect_uris=["https://evil.example/cb"]
        )
        attacker.redirect_uri = "https://evil.example/cb"
        async with world.browser() as victim:
            page = await victim.open(attacker.authorization().url)
        assert page.status == 200
        assert "evil.example" in page.text
        assert "Nice App" in page.text
        assert world.upstream.seen["token"] == 0

    async def test_attack_b01_a_page_names_the_client_that_asks_after_another(
        self, world: World
    ) -> None:
        pages = []
        for name, host in (("Nice App", "nice.example"), ("Evil App", "evil.example")):
            uri = f"https://{host}/cb"
            client = await world.client(client_name=name, redirect_uris=[uri])
            client.redirect_uri = uri
            async with world.browser() as browser:
                pages.append((await browser.open(client.authorization().url)).text)
        assert ["Nice App" in page for page in pages] == [True, False]
        assert ["evil.example" in page for page in pages] == [False, True]

    async def test_attack_b01_every_login_asks_again(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            await client.tokens(browser)
            page = await browser.open(client.authorization().url)
        assert page.form().fields["request"]


class TestB02CallbackInAnotherBrowser:
    async def test_attack_b02_the_victim_cannot_finish_the_attackers_login(
        self, world: World
    ) -> None:
        attacker = await world.client()
        async with world.browser() as attackers, world.browser() as victims:
            url = await callback_url(world, attackers, attacker.authorization().url)
            page = await victims.open(url)
            assert page.status == 403
            assert "browser" in page.text
            assert world.upstream.seen["token"] == 0
            assert world.stored() == 0

    async def test_attack_b02_nor_with_a_cookie_of_another_login(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as attackers, world.browser() as victims:
            await callback_url(world, victims, client.authorization().url)
            url = await callback_url(world, attackers, client.authorization().url)
            assert (await victims.open(url)).status == 403

    async def test_attack_b02_nor_after_ten_minutes(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            url = await callback_url(world, browser, client.authorization().url)
            world.clock.advance(600)
            assert (await browser.open(url)).status == 403
        assert world.upstream.seen["token"] == 0


class TestB03RiddenConsent:
    @pytest.mark.parametrize("change", ["client", "redirect_uri", "resource", "nothing"])
    async def test_attack_b03_consent_once_is_consent_for_nothing_else(
        self, world: World, change: str
    ) -> None:
        """Nothing is remembered: whoever comes next, the person is asked, and names are right."""
        client = await world.client(redirect_uris=[REDIRECT_URI, f"{REDIRECT_URI}/2"])
        async with world.browser() as browser:
            await client.tokens(browser)
            parameters: dict[str, str | None] = {}
            if change == "client":
                client = await world.client(client_name="Another")
            elif change == "redirect_uri":
                parameters["redirect_uri"] = f"{REDIRECT_URI}/2"
            elif change == "resource":
                parameters |= {"resource": f"{world.issuer}/other", "scope": "other"}
            page = await browser.open(client.authorization(**parameters).url)
        assert page.form().fields["request"]
        assert (parameters.get("redirect_uri") or REDIRECT_URI) in page.text
        assert (parameters.get("resource") or world.resource) in page.text
        assert ("Another" in page.text) == (change == "client")


class TestB04ForgedConsent:
    async def test_attack_b04_a_form_from_another_browser_is_refused(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as attackers, world.browser() as victims:
            page = await attackers.open(client.authorization().url)
            await victims.open(client.authorization().url)
            answer = await victims.submit(page, {"decision": "approve"})
        assert answer.status == 403

    async def test_attack_b04_a_form_without_the_cookie_is_refused(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
        form = page.form().fields | {"decision": "approve"}
        answer = await world.http.post(f"{world.issuer}/consent", data=form)
        assert answer.status_code == 403
        assert "cookie" in answer.text

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_attack_b04_a_form_from_another_site_is_refused(
        self, world: World, site: str
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
            answer = await world.http.post(
                f"{world.issuer}/consent",
                data=page.form().fields | {"decision": "approve"},
                headers={"sec-fetch-site": site} | world.cookies_of(browser),
            )
        assert answer.status_code == 403

    async def test_attack_b04_an_old_form_is_refused(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
            world.clock.advance(600)
            answer = await browser.submit(page, {"decision": "approve"})
        assert answer.status == 400

    @pytest.mark.parametrize("request_field", ["", "AAAA", "not base64!", "A" * 5000])
    async def test_attack_b04_a_made_up_form_is_refused(
        self, world: World, request_field: str
    ) -> None:
        answer = await world.http.post(
            f"{world.issuer}/consent", data={"request": request_field, "decision": "approve"}
        )
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/html")

    async def test_attack_b04_no_page_may_stand_in_a_frame(self, world: World) -> None:
        """Said twice: old browsers know only the one header, new ones prefer the other."""
        for headers in await headers_of_pages(world):
            assert headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]


class TestB05RedirectUri:
    @pytest.mark.parametrize(
        "redirect_uri",
        [
            "http://127.0.0.1:43117/callback/",
            "http://127.0.0.1:43117/callbacks",
            "http://127.0.0.1:43117/Callback",
            "http://127.0.0.1:43117/callback?x=1",
            "http://127.0.0.1:43117/callback#f",
            "http://127.0.0.1:43117/x/../callback",
            "http://127.0.0.1:43117//callback",
            "http://127.0.0.1:43117/callback%00",
            "http://127.0.0.1:43117\\@evil.example/callback",
            "http://user@127.0.0.1:43117/callback",
            "http://127.0.0.1:43117@evil.example/callback",
            "HTTP://127.0.0.1:43117/callback",
            "http://127.0.0.1.evil.example:43117/callback",
            "http://localhost:43117/callback",
            "http://127.1:43117/callback",
            "http://2130706433:43117/callback",
            "http://127.0.0.1:99999/callback",
            "https://127.0.0.1:43117/callback",
            "https://evil.example/callback",
            "javascript:alert(1)",
        ],
    )
    async def test_attack_b05_another_address_gets_a_page_and_no_redirect(
        self, world: World, redirect_uri: str
    ) -> None:
        client = await world.client()
        url = client.authorization(redirect_uri=redirect_uri).url
        answer = await world.http.get(url)
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/html")
        assert "location" not in answer.headers
        assert "http-equiv" not in answer.text

    async def test_attack_b05_only_a_loopback_port_may_vary(self, world: World) -> None:
        client = await world.client()
        url = client.authorization(redirect_uri="http://127.0.0.1:50000/callback").url
        assert (await world.http.get(url)).status_code == 200

    async def test_attack_b05_the_code_is_bound_to_the_address(self, world: World) -> None:
        client = await world.client(redirect_uris=[REDIRECT_URI, "https://app.example/cb"])
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        client.redirect_uri = "https://app.example/cb"
        answer = await client.redeem(login, code)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


class TestB06DangerousSchemes:
    @pytest.mark.parametrize(
        "uri",
        [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "blob:https://a.example/1",
            "about:blank",
            "intent://a#Intent;end",
            "ms-msdt:/id",
            "view-source:https://a.example/",
            "vbscript:x",
            "file:///etc/passwd",
            "ws://a.example/",
            "ftp://a.example/",
            "mailto:a@a.example",
            "http://a.example/cb",
        ],
    )
    async def test_attack_b06_is_refused_at_registration_and_at_authorize(
        self, world: World, uri: str
    ) -> None:
        answer = await world.http.post(f"{world.issuer}/register", json={"redirect_uris": [uri]})
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_redirect_uri"
        client = await world.client()
        shown = await world.http.get(client.authorization(redirect_uri=uri).url)
        assert shown.status_code == 400
        assert "location" not in shown.headers


class TestB07OpenRedirect:
    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": "unknown"},
            {"client_id": None},
            {"redirect_uri": "https://evil.example/"},
            {"client_id": "unknown", "response_type": "token"},
            {"redirect_uri": "https://evil.example/", "scope": "nonsense"},
        ],
    )
    async def test_attack_b07_errors_before_validation_stay_here(
        self, world: World, changes: dict[str, str | None]
    ) -> None:
        client = await world.client()
        answer = await world.http.get(client.authorization(**changes).url)
        assert answer.status_code in (400, 401)
        assert answer.headers["content-type"].startswith("text/html")
        assert "Reference" in answer.text
        assert "location" not in answer.headers
        assert "evil.example" not in str(answer.headers)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "invalid_request"),
            ({"scope": "tools é"}, "invalid_scope"),
            ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
            ({"code_challenge": None}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge_method": None}, "invalid_request"),
            ({"state": "s" * 1025}, "invalid_request"),
        ],
    )
    async def test_attack_b07_errors_after_validation_go_to_the_client(
        self, world: World, changes: dict[str, str | None], error: str
    ) -> None:
        """RFC 6749 §4.1.2.1, with the exact state and our issuer."""
        client = await world.client()
        login = client.authorization(**changes)
        answer = await world.http.get(login.url)
        assert answer.status_code == 400
        target = way_back(answer)
        assert target.startswith(f"{REDIRECT_URI}?")
        sent = answer_of(target)
        assert (sent["error"], sent["iss"]) == (error, world.issuer)
        assert sent["state"] == changes.get("state", login.state)

    async def test_attack_b07_a_parameter_given_twice_is_refused(self, world: World) -> None:
        client = await world.client()
        for name, status in (("client_id", 400), ("redirect_uri", 400), ("state", 400)):
            answer = await world.http.get(client.authorization().url + f"&{name}=x")
            assert answer.status_code == status, name
            if name == "state":
                assert told(answer)["error"] == "invalid_request"


class TestE20RefusalsForStrangers:
    """RFC 9700 §4.11.2: anybody can register an address and make a request that is refused."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        known = {"client_id": "our-own", "name": "Our own", "redirect_uris": [REDIRECT_URI]}
        return {"client": [known]}

    @pytest.mark.parametrize(
        "changes",
        [{"prompt": "none"}, {"response_type": "token"}, {"scope": "é"}, {"code_challenge": "x"}],
        ids=str,
    )
    @pytest.mark.parametrize("uri", ["https://evil.example/cb", "http://127.0.0.1:1/cb", "zed:cb"])
    async def test_attack_e20_no_redirect_to_an_address_that_nobody_vouches_for(
        self, world: World, uri: str, changes: dict[str, str]
    ) -> None:
        client = await world.client(redirect_uris=[uri])
        login = client.authorization(redirect_uri=uri, **changes)
        answer = await world.http.get(login.url)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "refresh" not in answer.headers
        assert "http-equiv" not in answer.text
        assert "<strong>" in answer.text, "the page says where the link leads"
        assert way_back(answer).startswith(f"{uri}?error=")
        assert told(answer)["state"] == login.state, "the client gets its answer by the link"

    async def test_attack_e20_a_client_of_the_operator_gets_its_answer_at_once(
        self, world: World
    ) -> None:
        client = OAuthClient(world.issuer, world.http, world.resource, "our-own")
        answer = await world.http.get(client.authorization(prompt="none").url)
        assert answer.status_code == 303
        assert answer_of(answer.headers["location"])["error"] == "login_required"

    async def test_attack_e20_after_consent_the_answer_goes_to_the_client(
        self, world: World
    ) -> None:
        """The person has seen the address and chosen; clients wait for this."""
        client = await world.client()
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
            denied = await browser.submit(page, {"decision": "deny"})
            world.upstream.error = "access_denied"
            refused = await approve(browser, client.authorization().url)
        for landed in (denied, refused):
            assert answer_of(landed)["error"] == "access_denied"


class TestB08MixUp:
    @pytest.mark.parametrize("iss", ["https://other.example", ""])
    async def test_attack_b08_an_answer_of_another_server_is_refused(
        self, world: World, iss: str
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            url = await callback_url(world, browser, client.authorization().url)
            forged = url.rpartition("&iss=")[0] + (f"&iss={iss}" if iss else "")
            page = await browser.open(forged)
        assert page.status == 502
        assert world.upstream.seen["token"] == 0

    async def test_attack_b08_every_answer_of_ours_says_whose_it_is(self, world: World) -> None:
        """RFC 9207: a code, a refusal at once, and one that the provider gave."""
        client = await world.client()
        async with world.browser() as browser:
            refused = await browser.open(client.authorization(prompt="none").url)
            landed = [(await approve(browser, client.authorization().url)).url, way_back(refused)]
            world.upstream.error = "access_denied"
            landed.append((await approve(browser, client.authorization().url)).url)
        answers = [answer_of(url) for url in landed]
        assert ["error" in answer for answer in answers] == [False, True, True]
        assert {answer.get("iss") for answer in answers} == {world.issuer}


class TestB09ErrorCallback:
    async def test_attack_b09_needs_the_browsers_cookie_and_ends_nobody_elses_login(
        self, world: World
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            url = await callback_url(world, browser, client.authorization().url)
            forged = {
                "error": "access_denied",
                "state": answer_of(url)["state"],
                "iss": world.upstream.issuer,
            }
            answer = await world.http.get(f"{world.issuer}/callback", params=forged)
            assert answer.status_code == 403
            assert "code" in answer_of(await browser.open(url))

    async def test_attack_b09_ends_the_login(self, world: World) -> None:
        client = await world.client()
        world.upstream.error = "access_denied"
        async with world.browser() as browser:
            url = await callback_url(world, browser, client.authorization().url)
            cookies = world.cookies_of(browser)
            page = await browser.open(url)
            assert answer_of(page)["error"] == "access_denied"
            replay = await world.http.get(url, headers=cookies)
        assert replay.status_code == 400


class TestB11FiveCallbacks:
    async def test_attack_b11_at_once_spend_the_providers_code_once(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            url = await callback_url(world, browser, client.authorization().url)
            cookies = world.cookies_of(browser)
            world.upstream.delay = 0.05
            answers = await asyncio.gather(
                *(world.http.get(url, headers=cookies) for _ in range(5))
            )
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400]
        assert world.upstream.seen["authorization_code"] == 1


class TestB12Scripts:
    async def test_attack_b12_names_are_text(self, world: World) -> None:
        evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
        client = await world.client(client_name=evil)
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "&lt;script&gt;" in page.text

    async def test_attack_b12_neither_the_providers_nor_the_clients_text_is_shown(
        self, world: World
    ) -> None:
        client = await world.client()
        world.upstream.error = "<script>alert(1)</script>"
        async with world.browser() as browser:
            url = await callback_url(world, browser, client.authorization().url)
            page = await browser.open(url)
        assert answer_of(page)["error"] == "server_error"
        assert "alert" not in page.url
        shown = await world.http.get(
            f"{world.issuer}/authorize?client_id=<script>alert(1)</script>"
        )
        assert "<script" not in shown.text

    async def test_attack_b12_an_address_is_text(self, world: World) -> None:
        pages, request = world.running.router.about.pages, Request({"type": "http", "headers": []})
        for _ in range(2):
            page = pages.onward(request, 'https://idp.example/"><script>', to="a provider")
            assert b"<script" not in page.body

    async def test_attack_b12_no_page_lets_a_script_run(self, world: World) -> None:
        """Nothing is allowed but our own style, so a hole in the escaping is a hole in nothing."""
        for headers in await headers_of_pages(world):
            policy = dict(
                rule.split(" ", 1) for rule in headers["content-security-policy"].split("; ")
            )
            assert policy["default-src"] == "'none'"
            assert policy["style-src"].startswith("'sha256-")
            assert not [name for name in policy if name.startswith("script-src")]
