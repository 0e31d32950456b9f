"""Browsers at a site that another proxy has: nginx and Caddy, run with the manual's files."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from ruamel.yaml import YAML
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mintage.errors import ConfigError
from mintage.gateway.forward_auth import ANSWERED
from mintage.settings.load import parse
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.browsers import FETCH, NAVIGATION, session_of
from tests.support.faulty_store import failing
from tests.support.proxies import FOR_SITES, block, caddy, nginx
from tests.support.raw_backend import RawBackend, raw_answer
from tests.support.world import World

FRONTS: Final[dict[str, Callable[..., AbstractAsyncContextManager[object]]]] = {
    "nginx": nginx,
    "caddy": caddy,
}
SITE: Final = {"path": "/", "scopes": ["site"], "credential": "identity", "browser": True}


class Site(RawBackend):
    """Says who is calling over a WebSocket too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await super().__call__(scope, receive, send)
        self.seen.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        user = dict(scope["headers"])[b"x-forwarded-user"]
        return await send({"type": "websocket.send", "text": user.decode()})


@pytest.fixture
async def raw() -> AsyncIterator[RawBackend]:
    backend = Site(free_port())
    config = uvicorn.Config(
        backend, port=backend.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    async with serving(uvicorn.Server(config)):
        yield backend


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def listen() -> int:
    return free_port()


@pytest.fixture
def overrides(listen: int, front: str) -> dict[str, Any]:
    return {
        "issuer": f"http://127.0.0.1:{listen}",
        "resource": [SITE, {"path": "/api", "scopes": ["api"], "credential": "identity"}],
        "gateway": {"forward_auth": front},
    }


@pytest.fixture
async def site(
    world: World, raw: RawBackend, listen: int, front: str, tmp_path: Path
) -> AsyncIterator[World]:
    run = FRONTS[front]
    async with run(tmp_path, listen=listen, mintage=world.port, tools=raw.port, page=FOR_SITES):
        yield world


def headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in scope["headers"]}


async def test_login_leads_back_to_the_page_and_its_query(site: World, raw: RawBackend) -> None:
    async with site.browser() as browser:
        page = await browser.open(f"{site.issuer}/wiki/a%20page?q=%C3%BC&x=%2F")
    assert (page.status, page.url) == (200, f"{site.issuer}/wiki/a%20page?q=%C3%BC&x=%2F")
    (scope,) = raw.seen
    assert (scope["raw_path"], scope["query_string"]) == (b"/wiki/a%20page", b"q=%C3%BC&x=%2F")
    assert headers_of(scope)["x-forwarded-user"] == "alice"


async def test_without_a_session_scripts_get_401_and_people_the_login(
    site: World, raw: RawBackend
) -> None:
    for headers in (FETCH, {"accept": "application/json"}, {}):
        refused = await site.http.get(f"{site.issuer}/x", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        assert "location" not in refused.headers
    for people in (NAVIGATION, {"accept": NAVIGATION["accept"]}):
        sent = await site.http.get(f"{site.issuer}/x?y=1", headers=people)
        assert sent.status_code == 303
        assert sent.headers["location"] == f"{site.issuer}/mintage/sign-in?to=/x%3Fy%3D1"
        assert sent.headers["cache-control"] == "no-store"
    assert raw.seen == []


async def test_sign_out_ends_it(site: World, raw: RawBackend) -> None:
    async with site.browser() as browser:
        await browser.open(f"{site.issuer}/x")
        cookies = site.cookies_of(browser)
        page = await browser.submit(await browser.open(f"{site.issuer}/mintage/sign-out"))
        assert "You are signed out" in page.text
    raw.seen.clear()
    answer = await site.http.get(f"{site.issuer}/x", headers=FETCH | cookies)
    assert (answer.status_code, raw.seen) == (401, [])


async def test_answers_are_for_one_user(site: World) -> None:
    """Two users, one address, one connection: neither the question nor the page is mixed up."""
    alice = await session_of(site, "/x")
    site.upstream.user = "bob"
    bob = await session_of(site, "/x")
    for _ in range(3):
        for cookies, name in ((alice, "alice"), (bob, "bob"), ({}, None)):
            answer = await site.http.get(f"{site.issuer}/x", headers=FETCH | cookies)
            if name is None:
                assert answer.status_code == 401
                continue
            assert dict(answer.json()["headers"])["x-forwarded-user"] == name
            assert "private" in answer.headers["cache-control"]
            assert "Cookie" in answer.headers["vary"]


async def test_attack_d08_for_browser_sessions_no_cookie_of_mintage_reaches_the_site(
    site: World, raw: RawBackend
) -> None:
    session = (await session_of(site, "/x"))["cookie"]
    raw.seen.clear()
    for cookie in (session, f"a=b; {session}; c=d", f"{session}; MINTAGE-x=1; mintage-account=y"):
        answer = await site.http.get(f"{site.issuer}/x", headers=FETCH | {"cookie": cookie})
        assert answer.status_code == 200
    assert [headers_of(scope).get("cookie", "") for scope in raw.seen] == ["", "a=b; c=d", ""]
    for scope in raw.seen:
        assert "mintage" not in str(scope["headers"]).lower()


async def test_attack_d08_for_browser_sessions_a_token_takes_no_cookie_along(
    site: World, raw: RawBackend
) -> None:
    """A resource without browsers beside the site: the same proxy copies the same headers."""
    session = (await session_of(site, "/x"))["cookie"]
    client = await site.client(scope="api")
    client.resource = f"{site.issuer}/api"
    async with site.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    raw.seen.clear()
    sent = {"authorization": f"Bearer {token}", "cookie": f"{session}; a=b"}
    answer = await site.http.get(f"{site.issuer}/api/x", headers=sent)
    assert answer.status_code == 200
    (scope,) = raw.seen
    assert headers_of(scope).get("cookie", "") == ""
    assert "Bearer" not in str(scope["headers"])


async def test_a_token_works_at_the_site_too_and_decides_alone(
    site: World, raw: RawBackend
) -> None:
    session = (await session_of(site, "/x"))["cookie"]
    client = await site.client(scope="site")
    client.resource = site.issuer
    site.upstream.user = "bob"
    async with site.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    raw.seen.clear()
    sent = {"authorization": f"Bearer {token}", "cookie": f"{session}; a=b"}
    assert (await site.http.post(f"{site.issuer}/upload", headers=sent)).status_code == 200
    (scope,) = raw.seen
    assert headers_of(scope)["x-forwarded-user"] == "bob"
    assert headers_of(scope)["cookie"] == "a=b"
    wrong = sent | {"authorization": "Bearer wrong"}
    assert (await site.http.post(f"{site.issuer}/upload", headers=wrong)).status_code == 401


async def test_attack_d08_for_browser_sessions_the_site_hears_nothing_that_is_claimed(
    site: World, raw: RawBackend
) -> None:
    session = await session_of(site, "/x")
    raw.seen.clear()
    claims = [*ANSWERED[:-1], "X_Forwarded_User", "remote-user", "x-remote-user", "forwarded"]
    await site.http.get(f"{site.issuer}/x", headers=dict.fromkeys(claims, "root") | FETCH | session)
    (scope,) = raw.seen
    assert "root" not in str(scope["headers"])
    assert headers_of(scope)["x-forwarded-user"] == "alice"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}),
        ("POST", {"origin": "null"}),
        ("DELETE", NAVIGATION | {"sec-fetch-site": "same-site"}),
        ("GET", FETCH | {"sec-fetch-site": "cross-site"}),
        ("GET", NAVIGATION | {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}),
    ],
)
async def test_attack_b04_for_browser_sessions_another_site_sends_nothing(
    site: World, raw: RawBackend, method: str, headers: dict[str, str]
) -> None:
    session = await session_of(site, "/x")
    raw.seen.clear()
    answer = await site.http.request(method, f"{site.issuer}/x", headers=headers | session)
    assert (answer.status_code, raw.seen) == (403, [])


async def test_who_sends_a_form_without_a_session_reads_a_page(
    site: World, raw: RawBackend
) -> None:
    sent = NAVIGATION | {"origin": site.issuer}
    answer = await site.http.post(f"{site.issuer}/form.gif", headers=sent, content=b"a form")
    assert (answer.status_code, raw.seen) == (401, [])
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert "Sign in" in answer.text
    script = await site.http.post(f"{site.issuer}/upload", headers=FETCH, content=b"a form")
    assert script.headers["content-type"].startswith("application/json")


async def test_who_is_refused_reads_the_reference_that_the_log_has(
    site: World, caplog: pytest.LogCaptureFixture
) -> None:
    sent = NAVIGATION | await session_of(site, "/x") | {"origin": "null"}
    with caplog.at_level("INFO"):
        answer = await site.http.post(f"{site.issuer}/upload", headers=sent)
    reference = answer.headers["x-request-id"]
    assert answer.status_code == 403
    assert reference in answer.text
    assert any(reference in message and "403" in message for message in caplog.messages)


async def test_forms_of_the_site_pass(site: World, raw: RawBackend) -> None:
    session = await session_of(site, "/x")
    sent = {"origin": site.issuer, "sec-fetch-site": "same-origin"} | session
    answer = await site.http.post(f"{site.issuer}/upload", headers=sent, content=b"a form")
    assert (answer.status_code, answer.text) == (200, "6")


async def test_websocket_is_opened_by_the_sites_own_pages(site: World, raw: RawBackend) -> None:
    session = await session_of(site, "/x")
    url = f"{site.issuer}/socket".replace("http:", "ws:")
    own = session | {"origin": site.issuer}
    async with connect(url, additional_headers=own, proxy=None) as socket:
        assert await socket.recv() == "alice"
    for foreign in (session, session | {"origin": "https://evil.example"}):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url, additional_headers=foreign, proxy=None)
    with pytest.raises(InvalidStatus, match="401"):
        await connect(url, additional_headers={"origin": site.issuer}, proxy=None)


async def test_attack_d08_for_browser_sessions_nobody_asks_for_themselves(
    site: World, raw: RawBackend
) -> None:
    """The answer would say who is signed in; with a token for the site, it would hold that."""
    session = (await session_of(site, "/x"))["cookie"]
    raw.seen.clear()
    described = "".join(
        f"{name}-Method: GET\r\n{name}-Uri: /x\r\n" for name in ("X-Original", "X-Forwarded")
    )
    for path in (
        "/verify", "/verify/x", "//verify", "/%76erify",
        "/mintage/../verify", "/mintage/..%2fverify", "/branding/../verify", "/VERIFY/../verify",
    ):  # fmt: skip
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{described}"
        answer = await raw_answer(site, f"{head}Cookie: {session}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 (30|4)", answer), (path, answer)
        assert b"alice" not in answer
    assert all(b"verify" not in scope["raw_path"].lower() for scope in raw.seen)


async def test_an_outage_is_503_and_no_login(site: World, raw: RawBackend) -> None:
    session = await session_of(site, "/x")
    raw.seen.clear()
    with failing(site.running.store):
        site.clock.advance(400)
        answer = await site.http.get(f"{site.issuer}/x", headers=NAVIGATION | session)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert raw.seen == []
    await asyncio.sleep(0)
    site.clock.advance(60)
    again = await site.http.get(f"{site.issuer}/x", headers=NAVIGATION | session)
    assert again.status_code == 200


def test_traefik_asks_with_what_a_browser_is_judged_by() -> None:
    http = YAML(typ="safe").load(block("yaml", FOR_SITES))["http"]
    asking = http["middlewares"]["ask-mintage"]["forwardAuth"]
    assert {name.lower() for name in asking["authRequestHeaders"]} == {
        "accept", "authorization", "cookie", "dpop", "origin", "sec-fetch-site", "sec-fetch-mode",
        "sec-fetch-dest", "x-requested-with", "sec-websocket-key",
    }  # fmt: skip
    taken = re.compile(asking["authResponseHeadersRegex"])
    for name in (*ANSWERED, "cookie", "X_Forwarded_User", "X.User"):
        assert taken.fullmatch(name)
    for name in ("Accept", "Content-Type", "Set-Cookie", "X-Forwarded-For"):
        assert not taken.fullmatch(name)
    assert asking["trustForwardHeader"] is False
    for router in http["routers"].values():
        assert "verify" not in router["rule"]
        assert router["service"] in http["services"]
        assert set(router.get("middlewares", ())) <= http["middlewares"].keys()


@pytest.mark.parametrize("asker", ["envoy", "haproxy", None])
def test_where_nobody_sends_people_to_the_login_a_site_is_refused(
    asker: str | None, tmp_path: Path
) -> None:
    data = {
        "issuer": "https://wiki.example.com",
        "upstream": {"issuer": "https://login.example.com", "client_id": "a"},
        "resource": [SITE],
        "gateway": {} if asker is None else {"forward_auth": asker},
    }
    with pytest.raises(ConfigError, match=r"^resource\[0\].browser: needs a backend"):
        parse(data, base=tmp_path, environ={})
