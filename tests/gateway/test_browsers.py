"""A resource that people use with a browser: login, session, limits, sign-out."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from tests.support.browsers import FETCH, NAVIGATION, SITE, session_of, signed_in, two_resources
from tests.support.faulty_store import failing
from tests.support.provider_settings import section
from tests.support.replicas import elsewhere
from tests.support.world import World, every_store


@pytest.fixture
def overrides() -> dict[str, Any]:
    return two_resources()


def seen(world: World) -> dict[str, str]:
    """The headers of the last request that reached the site."""
    return dict(world.backend.requests[-1].headers)


def name_of_session(world: World, cookies: dict[str, str]) -> str:
    found = re.search(r"mintage-session-[0-9a-f]+", cookies["cookie"])
    assert found is not None
    return found[0]


async def responses_of_a_login(world: World) -> list[httpx2.Response]:
    passed: list[httpx2.Response] = []
    async with world.browser() as browser:
        browser._on_response = passed.append
        await signed_in(world, browser)
    return passed


class TestTheLogin:
    async def test_leads_from_a_page_back_to_its_path_and_query(self, world: World) -> None:
        address = "/site/a%20page/x?q=%C3%BC&next=/other?a=b&+=%2B"
        async with world.browser() as browser:
            page = await signed_in(world, browser, address)
        assert page.url == world.issuer + address
        (request,) = world.backend.requests
        assert request.url.query == "q=%C3%BC&next=/other?a=b&+=%2B"
        assert request.headers["x-forwarded-user"] == "alice"

    async def test_shows_no_page_of_mintage_on_the_way(self, world: World) -> None:
        passed = await responses_of_a_login(world)
        pages = [r for r in passed if "html" in r.headers.get("content-type", "")]
        assert [r for r in pages if str(r.url).startswith(world.issuer)] == []

    async def test_comes_back_to_the_page_alone_if_its_address_is_too_long(
        self, world: World
    ) -> None:
        async with world.browser() as browser:
            page = await signed_in(world, browser, f"/site/x?q={'a' * 1000}")
        assert page.url == f"{world.issuer}/site/x"

    async def test_works_in_many_tabs_at_once(self, world: World) -> None:
        async with world.browser() as browser:
            browser.stop_at = (f"{world.issuer}/callback",)
            callbacks = [
                (await browser.open(f"{world.issuer}/site/{number}")).url for number in range(6)
            ]
            browser.stop_at = ()
            for number, callback in enumerate(callbacks):
                page = await browser.open(callback)
                assert (page.status, page.url) == (200, f"{world.issuer}/site/{number}")
            left = [name for name in browser.cookies if "site-login" in name]
        assert left == []

    @pytest.mark.parametrize(
        "overrides", [two_resources() | {"allow": [{"email_domains": ["example.com"]}]}]
    )
    async def test_of_a_user_whom_no_rule_admits_ends_on_a_page(self, world: World) -> None:
        world.upstream.claims["email"] = "bob@elsewhere.example"
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/site/x")
            assert page.status == 403
            assert "bob@elsewhere.example" in page.text
            assert "session" not in "".join(browser.cookies)
            (another,) = re.findall(r'href="(/mintage/sign-in[^"]*)"', unescape(page.text))
            world.upstream.claims["email"] = "bob@example.com"
            page = await browser.open(world.issuer + another)
        assert page.url == f"{world.issuer}/site/x"
        assert world.upstream.queries[-1]["prompt"] == "select_account"
        await world.running.revoker.drain()
        assert world.upstream.seen["revoke"] == 1, "the tokens of the one who was turned away"

    async def test_that_the_person_stops_can_begin_again(self, world: World) -> None:
        world.upstream.error = "access_denied"
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/site/x")
        assert page.status == 400
        assert 'href="/mintage/sign-in?to=/site/x' in page.text

    async def test_stores_nothing_until_the_user_is_back(self, world: World) -> None:
        before = world.stored()
        async with world.browser() as browser:
            browser.stop_at = (f"{world.issuer}/callback",)
            await browser.open(f"{world.issuer}/site/")
        assert world.stored() == before

    async def test_in_place_of_another_ends_that_session(self, world: World) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser)
            old = world.cookies_of(browser)
            await browser.open(f"{world.issuer}/mintage/sign-in?to=/site/")
            new = world.cookies_of(browser)
        assert old != new
        answers = [
            await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
            for cookies in (old, new)
        ]
        assert [answer.status_code for answer in answers] == [401, 200]


class TestWithoutASession:
    @pytest.mark.parametrize(
        "headers",
        [
            NAVIGATION,
            NAVIGATION | {"sec-fetch-site": "cross-site"},
            {"accept": NAVIGATION["accept"]},
        ],
        ids=["typed", "link", "old browser"],
    )
    async def test_a_navigation_goes_to_the_login(
        self, world: World, headers: dict[str, str]
    ) -> None:
        answer = await world.http.get(f"{world.issuer}/site/x?y=1", headers=headers)
        assert answer.status_code == 303
        assert answer.headers["location"] == (f"{world.issuer}/mintage/sign-in?to=/site/x%3Fy%3D1")
        assert answer.headers["cache-control"] == "no-store"
        assert world.backend.requests == []

    @pytest.mark.parametrize(
        "headers",
        [
            FETCH,
            {"accept": "*/*"},
            {"accept": "application/json"},
            {"accept": NAVIGATION["accept"], "x-requested-with": "XMLHttpRequest"},
            NAVIGATION | {"sec-fetch-dest": "iframe"},
            FETCH | {"accept": "text/html"},
            NAVIGATION | {"authorization": "Bearer wrong"},
            NAVIGATION | {"authorization": "Basic YTpi"},
            {},
        ],
    )
    async def test_everything_else_is_refused(self, world: World, headers: dict[str, str]) -> None:
        answer = await world.http.get(f"{world.issuer}/site/x", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.json()["error"] == "invalid_token"
        assert world.backend.requests == []

    async def test_a_form_that_was_sent_gets_a_page_with_the_way_to_the_login(
        self, world: World
    ) -> None:
        sent = NAVIGATION | {"sec-fetch-site": "same-origin", "origin": world.issuer}
        answer = await world.http.post(f"{world.issuer}/site/form", headers=sent, data={"a": "b"})
        assert answer.status_code == 401
        assert "You are not signed in" in answer.text
        assert f'href="{world.issuer}/mintage/sign-in?to=/site/form"' in answer.text

    async def test_other_resources_are_as_they_were(self, world: World) -> None:
        answer = await world.http.get(world.resource, headers=NAVIGATION)
        assert (answer.status_code, "claude mcp add" in answer.text) == (401, True)


class TestTheSession:
    async def test_serves_scripts_and_images_of_the_same_site(self, world: World) -> None:
        cookies = await session_of(world)
        for headers in (FETCH, FETCH | {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}):
            answer = await world.http.get(f"{world.issuer}/site/x", headers=headers | cookies)
            assert answer.status_code == 200
        assert seen(world)["x-forwarded-user"] == "alice"

    async def test_sends_forms_of_the_same_site(self, world: World) -> None:
        cookies = await session_of(world)
        own = {"sec-fetch-site": "same-origin", "origin": world.issuer}
        for headers in (own, {"origin": world.issuer}, {"sec-fetch-site": "same-origin"}):
            answer = await world.http.post(f"{world.issuer}/site/x", headers=headers | cookies)
            assert answer.status_code == 200, headers

    async def test_tells_a_person_when_another_site_sent_a_form(self, world: World) -> None:
        cookies = await session_of(world)
        sent = NAVIGATION | {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        answer = await world.http.post(f"{world.issuer}/site/x", headers=sent | cookies)
        assert answer.status_code == 403
        assert "Another site may have sent this request" in answer.text
        assert "It was not carried out" in answer.text
        assert "no access" not in answer.text, "the account is not at fault"

    async def test_is_for_one_resource(self, world: World) -> None:
        cookies = await session_of(world)
        assert (await world.http.get(world.resource, headers=FETCH | cookies)).status_code == 401

    async def test_cookie_is_small_for_a_user_of_many_groups(self, world: World) -> None:
        sizes = []
        for number in (0, 500):
            world.upstream.claims["groups"] = [f"a group called {n}" for n in range(number)]
            cookies = await session_of(world)
            name = name_of_session(world, cookies)
            sizes.append(len(cookies["cookie"]))
        assert sizes[0] == sizes[1] < 200
        assert name.startswith("mintage-session-")

    async def test_cookie_is_kept_from_scripts_and_other_sites(self, world: World) -> None:
        (cookie,) = [
            cookie
            for response in await responses_of_a_login(world)
            for cookie in response.headers.get_list("set-cookie")
            if "mintage-session" in cookie
        ]
        attributes = set(cookie.split("; "))
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=86400"} <= attributes

    async def test_never_reaches_the_backend_and_other_cookies_do(self, world: World) -> None:
        cookies = await session_of(world)
        sent = {"cookie": f"theme=dark; {cookies['cookie']}; mintage-account=x; id=7"}
        await world.http.get(f"{world.issuer}/site/", headers=FETCH | sent)
        assert seen(world)["cookie"] == "theme=dark; id=7"

    async def test_answers_are_for_that_browser_alone(self, world: World) -> None:
        cookies = await session_of(world)
        answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
        assert "access-control-allow-origin" not in answer.headers
        assert (answer.headers["vary"], answer.headers["cache-control"]) == ("Cookie", "private")

    async def test_gives_way_to_a_token(self, world: World) -> None:
        """A request with both is judged by ``Authorization`` alone, whatever it holds."""
        cookies = await session_of(world)
        client = await world.client(scope="tools")
        async with world.browser() as browser:
            world.upstream.user = "bob"
            token = (await client.tokens(browser))["access_token"]
        for authorization in (f"Bearer {token}", "Bearer wrong", "Basic YTpi"):
            sent = FETCH | cookies | {"authorization": authorization}
            answer = await world.http.get(f"{world.issuer}/site/x", headers=sent)
            assert answer.status_code == 401, authorization

    async def test_makes_no_difference_to_a_token_at_the_same_resource(self, world: World) -> None:
        client = await world.client(scope="site")
        client.resource = f"{world.issuer}/site"
        async with world.browser() as browser:
            token = (await client.tokens(browser))["access_token"]
        sent = {"authorization": f"Bearer {token}", "cookie": "mintage-session-x=y"}
        answer = await world.http.post(f"{world.issuer}/site/x", headers=sent)
        assert answer.status_code == 200

    async def test_is_renewed_with_the_provider(self, world: World) -> None:
        cookies = await session_of(world)
        issued = world.upstream.seen["refresh_token"]
        world.upstream.claims["groups"] = ["new"]
        world.clock.advance(2 * 3600)
        answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
        assert answer.status_code == 200
        assert world.upstream.seen["refresh_token"] == issued + 1

    async def test_ends_when_the_provider_says_so(self, world: World) -> None:
        cookies = await session_of(world)
        world.upstream.faults["token"] = "invalid_grant"
        world.clock.advance(2 * 3600)
        answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
        assert answer.status_code == 401


class TestRules:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        rules = [
            {"path": "/admin", "claims": {"/groups": "admins"}},
            {"path": "/write", "scopes": ["write"]},
            {"path": "/never", "scopes": ["never"]},
        ]
        return two_resources(
            rule=rules, optional_scopes=["write", "never"], browser_scopes=["write"]
        )

    async def test_hold_for_browsers_too(self, world: World) -> None:
        cookies = await session_of(world)
        statuses = [
            (
                await world.http.get(f"{world.issuer}/site{path}", headers=FETCH | cookies)
            ).status_code
            for path in ("/x", "/admin", "/write", "/never")
        ]
        assert statuses == [200, 403, 200, 403]

    async def test_refuse_a_person_with_a_page(self, world: World) -> None:
        cookies = await session_of(world)
        answer = await world.http.get(f"{world.issuer}/site/admin", headers=NAVIGATION | cookies)
        assert answer.status_code == 403
        assert "You may not do this here" in answer.text


class TestLimits:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return two_resources() | {"browser": {"idle": 3600, "lifetime": 10_000}}

    async def test_end_a_session_that_is_not_used(self, world: World) -> None:
        cookies = await session_of(world)
        world.clock.advance(3599)
        assert await status(world, cookies) == 200
        world.clock.advance(3600)
        assert await status(world, cookies) == 401

    async def test_end_a_session_that_is_in_use_all_the_time(self, world: World) -> None:
        cookies = await session_of(world)
        for _ in range(9):
            world.clock.advance(1000)
            assert await status(world, cookies) == 200
        world.clock.advance(1000)
        assert await status(world, cookies) == 401

    async def test_cost_no_write_for_each_request(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cookies = await session_of(world)
        writes, replace = [], world.running.store.replace

        async def counted(*arguments: Any) -> None:
            writes.append(arguments)
            await replace(*arguments)

        monkeypatch.setattr(type(world.running.store), "replace", staticmethod(counted))
        for _ in range(20):
            world.clock.advance(60)
            assert await status(world, cookies) == 200
        assert len(writes) == 20 * 60 // 300

    async def test_do_not_end_a_session_in_an_outage_of_the_store(self, world: World) -> None:
        cookies = await session_of(world)
        world.clock.advance(299)
        assert await status(world, cookies) == 200
        world.clock.advance(2)
        with failing(world.running.store):
            assert await status(world, cookies) == 200
        assert await status(world, cookies) == 200


async def status(world: World, cookies: dict[str, str]) -> int:
    answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
    return answer.status_code


class TestSigningOut:
    @every_store
    async def test_ends_the_session_also_for_a_copy_of_its_cookie(self, world: World) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser)
            copied = world.cookies_of(browser)
            page = await browser.open(f"{world.issuer}/mintage/sign-out")
            assert "The Wiki" in page.text
            assert "alice" in page.text
            after = await browser.submit(page)
            assert (after.status, "You are signed out" in after.text) == (200, True)
            assert after.headers["clear-site-data"] == '"cache"'
            assert "mintage-session" not in "".join(browser.cookies)
        assert await status(world, copied) == 401

    async def test_revokes_the_tokens_at_the_provider(self, world: World) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser)
            await browser.submit(await browser.open(f"{world.issuer}/mintage/sign-out"))
        await world.running.revoker.drain()
        assert world.upstream.seen["revoke"] == 1

    async def test_takes_a_form(self, world: World) -> None:
        cookies = await session_of(world)
        page = await world.http.get(f"{world.issuer}/mintage/sign-out", headers=cookies)
        assert page.status_code == 200
        assert await status(world, cookies) == 200

    async def test_of_nobody_says_so(self, world: World) -> None:
        page = await world.http.get(f"{world.issuer}/mintage/sign-out")
        assert "You are not signed in" in page.text
        assert "<form" not in page.text


class TestLists:
    async def test_name_the_browser_and_the_user_can_disconnect_it(self, world: World) -> None:
        cookies = await session_of(world)
        (grant,) = [grant async for grant in world.running.vault.listing.find()]
        assert grant.summary is not None
        assert grant.summary.client_id == "browser:/site"
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/account")
            page = await browser.submit(page, {"upstream": "oidc"})
            assert "A browser" in page.text
            assert "You signed in at this site with a browser" in page.text
            await browser.submit(page, {"action": "disconnect_all"})
        assert await status(world, cookies) == 401

    async def test_say_when_a_session_ends(self, world: World) -> None:
        await session_of(world)
        (grant,) = [grant async for grant in world.running.vault.listing.find()]
        assert grant.expires_at == int(world.clock()) + 28_800


class TestSeveralProviders:
    @pytest.fixture
    async def partner(self, clock: ManualClock) -> AsyncIterator[FakeUpstream]:
        async with FakeUpstream(clock).running() as running:
            yield running

    @pytest.fixture
    def overrides(self, upstream: FakeUpstream, partner: FakeUpstream) -> dict[str, Any]:
        partner.client_secret = upstream.client_secret
        settings = two_resources()
        settings["resource"].append(SITE | {"path": "/office", "upstreams": ["staff"]})
        return settings | {"upstream": [section(upstream, "staff"), section(partner, "partners")]}

    async def test_let_the_person_choose(self, world: World) -> None:
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/site/x?y=1")
            assert "Where do you sign in to" in page.text
            links = re.findall(r'href="(/mintage/sign-in[^"]*)"', unescape(page.text))
            assert [parse_qs(urlsplit(link).query)["upstream"] for link in links] == [
                ["staff"],
                ["partners"],
            ]
            page = await browser.open(world.issuer + links[1])
        assert (page.status, page.url) == (200, f"{world.issuer}/site/x?y=1")
        assert seen(world)["x-forwarded-user"] == "partners|alice"

    async def test_of_one_resource_may_be_fewer(self, world: World) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser, "/office/")
            assert seen(world)["x-forwarded-user"] == "staff|alice"
            wrong = f"{world.issuer}/mintage/sign-in?to=/office/&upstream=partners"
            assert (await browser.open(wrong)).status == 400


async def test_an_operator_may_deny_all_browsers_at_a_site(world: World) -> None:
    cookies = await session_of(world)
    assert await elsewhere(world).deny("browser:/site", by="alice")
    await world.running.client_denials.follow()
    async with world.browser() as browser:
        page = await browser.open(f"{world.issuer}/site/x")
    assert (page.status, "You may not do this here" in page.text) == (403, True)
    assert await status(world, cookies) in (401, 403)
    assert await elsewhere(world).admit("browser:/site")
    await world.running.client_denials.follow()
    assert await status(world, await session_of(world)) == 200
