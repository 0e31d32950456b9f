"""Attacks on the sessions of browsers, by the numbers in docs/security.md."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mintage.grants import handles
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import answer_of
from tests.support.access_tokens import handle_of
from tests.support.browsers import (
    FETCH,
    NAVIGATION,
    echoing,
    session_of,
    signed_in,
    two_resources,
)
from tests.support.world import SECRET, World

OTHER = "https://evil.example"
ALLOWED = "https://intranet.example"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return two_resources(browser_origins=[ALLOWED])


async def callback_of(world: World, browser: Browser, address: str = "/site/") -> str:
    """The URL with which the provider sends *browser* back; the browser does not open it."""
    browser.stop_at = (f"{world.issuer}/callback",)
    page = await browser.open(world.issuer + address)
    browser.stop_at = ()
    assert page.status == 0
    return page.url


def has_session(browser: Browser) -> bool:
    return any("mintage-session" in name for name in browser.cookies)


class TestB02AnotherBrowser:
    async def test_attack_b02_for_browser_sessions_a_callback_is_for_the_browser_that_began(
        self, world: World
    ) -> None:
        """Login CSRF: the victim would be signed in as the attacker."""
        async with world.browser() as attackers, world.browser() as victims:
            url = await callback_of(world, attackers)
            page = await victims.open(url)
            assert page.status == 403
            assert not has_session(victims)
            await signed_in(world, victims)
            page = await victims.open(await callback_of(world, attackers))
            assert page.status == 403

    async def test_attack_b02_for_browser_sessions_nor_with_the_victims_own_state(
        self, world: World
    ) -> None:
        """The attacker's code in a callback of a login that the victim's browser began."""
        async with world.browser() as attackers, world.browser() as victims:
            theirs = answer_of(await callback_of(world, attackers))["code"]
            own_url = await callback_of(world, victims)
            page = await victims.open(own_url.replace(answer_of(own_url)["code"], theirs))
            assert page.status == 400
            assert not has_session(victims)

    async def test_attack_b02_for_browser_sessions_a_login_has_an_end(self, world: World) -> None:
        async with world.browser() as browser:
            url = await callback_of(world, browser)
            world.clock.advance(600)
            assert (await browser.open(url)).status == 403
            assert not has_session(browser)

    async def test_attack_b02_for_browser_sessions_logins_of_apps_are_others(
        self, world: World
    ) -> None:
        """A login's cookie under another name opens nothing."""
        async with world.browser() as browser:
            url = await callback_of(world, browser)
            cookies = world.cookies_of(browser)["cookie"]
        for other in ("mintage-login-", "mintage-session-", "mintage-account-login"):
            renamed = cookies.replace("mintage-site-login-", other)
            answer = await world.http.get(url, headers={"cookie": renamed})
            assert answer.status_code == 403


CROSS = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"}
FORGED = {
    "form": ("POST", NAVIGATION | {"sec-fetch-site": "cross-site", "origin": OTHER}),
    "form of a sandbox": ("POST", NAVIGATION | {"sec-fetch-site": "cross-site", "origin": "null"}),
    "form of a neighbour": ("POST", NAVIGATION | {"sec-fetch-site": "same-site"}),
    "form of nobody": ("POST", NAVIGATION),
    "fetch": ("POST", CROSS | {"origin": OTHER}),
    "fetch with the right origin": ("POST", CROSS),
    "old browser": ("POST", {"origin": OTHER}),
    "old browser, sandbox": ("POST", {"origin": "null"}),
    "no header at all": ("POST", {}),
    "no header at all, PUT": ("PUT", {}),
    "no header at all, DELETE": ("DELETE", {}),
    "OPTIONS": ("OPTIONS", {}),
    "another scheme": ("POST", {"origin": "https://127.0.0.1"}),
    "a page on this machine": ("POST", {"origin": "http://localhost:9999"}),
    "site said twice": ("POST", [("sec-fetch-site", "same-origin")] * 2),
    "image": ("GET", CROSS | {"sec-fetch-dest": "image"}),
    "script": ("GET", CROSS | {"sec-fetch-dest": "script"}),
    "frame": ("GET", NAVIGATION | {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}),
    "object": ("GET", NAVIGATION | {"sec-fetch-site": "same-site", "sec-fetch-dest": "object"}),
    "fetch of a page": ("GET", CROSS | {"sec-fetch-mode": "cors", "origin": OTHER}),
    "old browser's fetch": ("GET", {"origin": OTHER}),
    "a site that is new": ("GET", NAVIGATION | CROSS | {"sec-fetch-site": "somewhere"}),
    "navigation with an origin": ("GET", NAVIGATION | {"origin": OTHER}),
}


class TestB04ForgedRequests:
    @pytest.mark.parametrize("name", FORGED)
    async def test_attack_b04_for_browser_sessions_another_site_sends_nothing(
        self, world: World, name: str
    ) -> None:
        method, headers = FORGED[name]
        cookies = await session_of(world)
        world.backend.requests.clear()
        sent = [*(headers.items() if isinstance(headers, dict) else headers), *cookies.items()]
        answer = await world.http.request(method, f"{world.issuer}/site/x", headers=sent)
        assert answer.status_code == 403
        assert world.backend.requests == []

    async def test_attack_b04_for_browser_sessions_an_allowed_origin_may(
        self, world: World
    ) -> None:
        cookies = await session_of(world)
        sent = {"origin": ALLOWED, "sec-fetch-site": "same-site"} | cookies
        assert (await world.http.post(f"{world.issuer}/site/", headers=sent)).status_code == 200

    async def test_attack_b04_for_browser_sessions_a_link_only_reads(self, world: World) -> None:
        cookies = await session_of(world)
        link = NAVIGATION | {"sec-fetch-site": "cross-site"} | cookies
        assert (await world.http.get(f"{world.issuer}/site/", headers=link)).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": OTHER}],
    )
    async def test_attack_b04_for_browser_sessions_another_site_signs_nobody_out(
        self, world: World, headers: dict[str, str]
    ) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser)
            page = await browser.open(f"{world.issuer}/mintage/sign-out")
            cookies = world.cookies_of(browser)
        answer = await world.http.post(
            f"{world.issuer}/mintage/sign-out",
            data=page.form().fields,
            headers=headers | cookies,
        )
        assert answer.status_code == 403
        assert await is_signed_in(world, cookies)

    async def test_attack_b04_for_browser_sessions_a_form_is_of_one_browser(
        self, world: World
    ) -> None:
        async with world.browser() as victims, world.browser() as attackers:
            await signed_in(world, victims)
            await victims.open(f"{world.issuer}/mintage/sign-out")
            await signed_in(world, attackers)
            forged = await attackers.open(f"{world.issuer}/mintage/sign-out")
            assert (await victims.submit(forged)).status == 403
            for made_up in ("AAAA", "not base64!", "A" * 5000):
                assert (await victims.submit(forged, {"form": made_up})).status == 400
            world.clock.advance(900)
            own = await attackers.submit(forged)
            assert own.status == 400
            assert await is_signed_in(world, world.cookies_of(victims))

    async def test_attack_b04_for_browser_sessions_the_page_is_in_no_frame(
        self, world: World
    ) -> None:
        page = await world.http.get(f"{world.issuer}/mintage/sign-out")
        assert page.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


class TestB04ForgedWebSockets:
    @pytest.fixture
    async def overrides(self) -> AsyncIterator[dict[str, Any]]:
        async with echoing() as url:
            yield two_resources(backend=url)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"origin": OTHER},
            {"origin": "null"},
            {"origin": "http://localhost:9999"},
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "websocket"},
            NAVIGATION,
        ],
    )
    async def test_attack_b04_for_browser_sessions_no_websocket_is_opened(
        self, world: World, headers: dict[str, str]
    ) -> None:
        cookies = await session_of(world)
        url = f"{world.issuer}/site/socket".replace("http:", "ws:")
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url, additional_headers=headers | cookies, proxy=None)
        own = cookies | {"origin": world.issuer}
        async with connect(url, additional_headers=own, proxy=None) as socket:
            assert await socket.recv() == "alice"


async def is_signed_in(world: World, cookies: dict[str, str]) -> bool:
    answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
    return answer.status_code == 200


class TestB07OpenRedirect:
    @pytest.mark.parametrize(
        "to",
        [
            "https://evil.example/", "//evil.example/", "/\\evil.example/", "\\\\evil.example",
            "http:evil.example", "javascript:alert(1)", "/site/\r\nset-cookie:x=y", "/site/\t",
            "/site/../../evil", "/site//evil.example", "/%2f%2fevil.example", "/site%5c..%5cx",
            "", "site/", "/mcp", "/mcp/x", "/other", "/account", "/", "/site/x#fragment",
            "/site/\u00fc", "/site/" + "a" * 1000, " /site/", "/site/ x", "@evil.example/site/",
            "/.well-known/x", "/mintage/sign-in?to=/site/", "/site/?a b", "/site/?a#b", "/site/?\\",
            "/site/?\r\nset-cookie: x=y",
        ],
    )  # fmt: skip
    async def test_attack_b07_for_browser_sessions_nobody_is_sent_elsewhere(
        self, world: World, to: str
    ) -> None:
        answer = await world.http.get(f"{world.issuer}/mintage/sign-in", params={"to": to})
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers

    async def test_attack_b07_for_browser_sessions_two_addresses_are_none(
        self, world: World
    ) -> None:
        answer = await world.http.get(f"{world.issuer}/mintage/sign-in?to=/site/&to=/site/")
        assert answer.status_code == 400

    async def test_attack_b07_for_browser_sessions_a_host_header_changes_nothing(
        self, world: World
    ) -> None:
        evil = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=e"}
        answer = await world.http.get(f"{world.issuer}/site/x", headers=NAVIGATION | evil)
        assert answer.headers["location"].startswith(f"{world.issuer}/mintage/sign-in?")


class TestB08MixUp:
    @pytest.mark.parametrize("iss", ["https://evil.example", ""])
    async def test_attack_b08_for_browser_sessions_an_answer_of_another_server_is_refused(
        self, world: World, iss: str
    ) -> None:
        async with world.browser() as browser:
            url = await callback_of(world, browser)
            forged = url.rpartition("&iss=")[0] + (f"&iss={iss}" if iss else "")
            page = await browser.open(forged)
            assert page.status == 502
            assert not has_session(browser)
        assert world.upstream.seen["token"] == 0


class TestB09ErrorCallback:
    async def test_attack_b09_for_browser_sessions_needs_the_browsers_cookie(
        self, world: World
    ) -> None:
        async with world.browser() as browser:
            url = await callback_of(world, browser)
            forged = {
                "error": "access_denied",
                "state": answer_of(url)["state"],
                "iss": world.upstream.issuer,
            }
            answer = await world.http.get(f"{world.issuer}/callback", params=forged)
            assert answer.status_code == 403
            assert (await browser.open(url)).status == 200
            assert has_session(browser)

    async def test_attack_b09_for_browser_sessions_an_error_ends_the_login(
        self, world: World
    ) -> None:
        world.upstream.error = "access_denied"
        async with world.browser() as browser:
            url = await callback_of(world, browser)
            cookies = world.cookies_of(browser)
            assert (await browser.open(url)).status == 400
        good = url.replace("error=access_denied", "code=x")
        replay = await world.http.get(good, headers=cookies)
        assert "mintage-session" not in replay.headers.get("set-cookie", "")
        assert world.upstream.seen["token"] == 0


class TestB11FiveCallbacks:
    async def test_attack_b11_for_browser_sessions_at_once_begin_one_session(
        self, world: World
    ) -> None:
        async with world.browser() as browser:
            url = await callback_of(world, browser)
            cookies = world.cookies_of(browser)
        world.upstream.delay = 0.05
        answers = await asyncio.gather(*(world.http.get(url, headers=cookies) for _ in range(5)))
        begun = ["mintage-session" in str(answer.headers) for answer in answers]
        assert (begun.count(True), len(begun)) == (1, 5)
        assert world.upstream.seen["authorization_code"] == 1
        assert len([grant async for grant in world.running.vault.listing.find()]) == 1


class TestB13Sessions:
    async def test_attack_b13_for_browser_sessions_an_apps_handle_is_no_session(
        self, world: World
    ) -> None:
        """An app knows its own handle. A cookie of it would escape the token's end and scopes."""
        cookies = await session_of(world)
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        handle = handle_of(world.running.tokens, tokens["access_token"], world.resource)
        found = re.search(r"(mintage-session-[0-9a-f]+)=", cookies["cookie"])
        assert found is not None
        made_up = [
            handles.make_jti(handle.secret, 1, "access"),
            tokens["access_token"],
            handle.secret.hex(),
        ]
        for value in made_up:
            assert not await is_signed_in(world, {"cookie": f"{found[1]}={value}"})

    async def test_attack_b13_for_browser_sessions_a_session_is_no_token(
        self, world: World
    ) -> None:
        cookies = await session_of(world)
        value = cookies["cookie"].partition("mintage-session-")[2].partition("=")[2]
        bearer = {"authorization": f"Bearer {value}"}
        assert (await world.http.get(f"{world.issuer}/site/", headers=bearer)).status_code == 401

    async def test_attack_b13_for_browser_sessions_one_site_is_not_another(
        self, world: World
    ) -> None:
        cookies = await session_of(world)
        renamed = re.sub("session-[0-9a-f]+", f"session-{'0' * 16}", cookies["cookie"])
        assert not await is_signed_in(world, {"cookie": renamed})

    async def test_attack_b13_for_browser_sessions_each_login_has_a_new_one(
        self, world: World
    ) -> None:
        """Fixation: a session that was there before is not taken over."""
        async with world.browser() as browser:
            await signed_in(world, browser)
            planted = world.cookies_of(browser)
            world.upstream.user = "bob"
            await browser.open(f"{world.issuer}/mintage/sign-in?to=/site/")
        assert not await is_signed_in(world, planted)


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85", b"\x1c"])
async def test_attack_e12_for_browser_sessions_no_cookie_behind_a_blank_stands_in(
    world: World, blank: bytes
) -> None:
    cookies = await session_of(world)
    world.backend.requests.clear()
    spelled = b"; ".join(blank + pair.encode() for pair in cookies["cookie"].split("; "))
    sent = [(b"cookie", spelled), *((k.encode(), v.encode()) for k, v in FETCH.items())]
    answer = await world.http.get(f"{world.issuer}/site/", headers=sent)
    assert answer.status_code in (400, 401)
    assert world.backend.requests == []


async def test_attack_e12_for_browser_sessions_two_cookies_of_one_name_are_none(
    world: World,
) -> None:
    one, other = await session_of(world), await session_of(world)
    for cookies in (f"{one['cookie']}; {other['cookie']}", f"{other['cookie']}; {one['cookie']}"):
        assert not await is_signed_in(world, {"cookie": cookies})


async def test_attack_d07_for_browser_sessions_nothing_secret_is_in_a_log_or_an_answer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers: list[str] = []
    async with world.browser() as browser:
        browser._on_response = lambda response: answers.append(response.text)
        url = await callback_of(world, browser, "/site/secret-address?q=private")
        pending = list(browser.cookies.values())
        await browser.open(url)
        cookies = world.cookies_of(browser)
        page = await browser.open(f"{world.issuer}/mintage/sign-out")
        await browser.submit(page)
    await world.http.post(f"{world.issuer}/site/", headers=cookies)
    await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
    pairs = (pair.split("=", 1) for pair in cookies["cookie"].split("; "))
    (secret,) = [value for name, value in pairs if "session" in name]
    ours = [r for r in caplog.records if r.name.startswith(("mintage", "uvicorn", "asyncio"))]
    logged = "\n".join(record.getMessage() for record in ours)
    shown = logged + "\n".join(answers)
    assert logged
    for one in (SECRET, secret, *pending, *world.upstream.issued, world.upstream.client_secret):
        assert one not in shown
    assert answer_of(url)["code"] not in logged
    assert answer_of(url)["state"] not in logged


class TestD08WhatTheBackendGets:
    @pytest.mark.parametrize(
        "lines",
        [
            [("cookie", "{session}")],
            [("cookie", "a=b; {session}"), ("cookie", "{session}; c=d")],
            [("cookie", "a=b;\t {session} ;c=d")],
            [("cookie", "{session}"), ("connection", "close")],
            [("cookie", "{session}"), ("x-forwarded-user", "root"), ("x-user", "root")],
            [("cookie", "{session}; MINTAGE-SESSION-X=1; __HOST-MINTAGE-account=2")],
        ],
    )
    async def test_attack_d08_for_browser_sessions_is_no_cookie_of_mintage(
        self, world: World, lines: list[tuple[str, str]]
    ) -> None:
        session = (await session_of(world))["cookie"]
        world.backend.requests.clear()
        sent = [*FETCH.items()]
        sent += [(name, value.replace("{session}", session)) for name, value in lines]
        answer = await world.http.get(f"{world.issuer}/site/", headers=sent)
        assert answer.status_code == 200
        (request,) = world.backend.requests
        assert "mintage" not in str(request.headers).lower()
        assert "root" not in str(request.headers)
        assert request.headers["x-forwarded-user"] == "alice"

    async def test_attack_d08_for_browser_sessions_connection_can_not_drop_what_was_judged(
        self, world: World
    ) -> None:
        cookies = await session_of(world)
        for named in ("cookie", "origin", "sec-fetch-site", "x-forwarded-user"):
            sent = {"connection": named, "origin": world.issuer} | FETCH | cookies
            answer = await world.http.post(f"{world.issuer}/site/", headers=sent)
            assert answer.status_code == 400, named
