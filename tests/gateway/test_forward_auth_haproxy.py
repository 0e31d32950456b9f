"""The manual's HAProxy, run."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mintage.testing.nanoidp import free_port
from tests.support.faulty_store import failing
from tests.support.proxies import haproxy
from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World


@pytest.fixture
def credential() -> str:
    return "identity"


@pytest.fixture
def listen() -> int:
    return free_port()


@pytest.fixture
def overrides(listen: int, credential: str) -> dict[str, Any]:
    admin = {"methods": ["DELETE"], "scopes": ["admin"]}
    resource = {"scopes": ["tools"], "optional_scopes": ["admin"], "credential": credential}
    return {
        "issuer": f"http://127.0.0.1:{listen}",
        "resource": [
            {"path": "/mcp", "rule": [admin], **resource},
            {"path": "/other", "scopes": ["tools"]},
        ],
        "gateway": {"forward_auth": "haproxy"},
    }


@pytest.fixture
async def site(world: World, raw: RawBackend, listen: int, tmp_path: Path) -> AsyncIterator[World]:
    """A world that is reached through HAProxy."""
    async with haproxy(tmp_path, listen=listen, mintage=world.port, tools=raw.port):
        yield world


async def bearer(world: World, path: str = "/mcp") -> dict[str, str]:
    return {"authorization": f"Bearer {await access_token(world, path)}"}


async def test_login_call_and_revocation(site: World, raw: RawBackend) -> None:
    client = await site.client()
    async with site.browser() as browser:
        tokens = await client.tokens(browser)
    sent = {"authorization": f"Bearer {tokens['access_token']}"}
    good = await site.http.post(f"{site.resource}/upload", headers=sent, content=b"a call")
    assert (good.status_code, good.text) == (200, "6")
    await client.revoke(tokens["refresh_token"])
    gone = await site.http.post(f"{site.resource}/upload", headers=sent)
    assert 'error="invalid_token"' in gone.headers["www-authenticate"]
    assert (gone.status_code, len(raw.seen)) == (401, 1)


async def test_refusals_pass_as_they_are(site: World, raw: RawBackend) -> None:
    missing = await site.http.post(site.resource, headers={"origin": "http://localhost"})
    narrow = await site.http.delete(f"{site.resource}/x", headers=await bearer(site))
    sibling = await site.http.get(f"{site.resource}/x", headers=await bearer(site, "/other"))
    assert [answer.status_code for answer in (missing, narrow, sibling)] == [401, 403, 401]
    assert 'scope="tools admin"' in narrow.headers["www-authenticate"]
    assert missing.headers["access-control-allow-origin"] == "*"
    assert raw.seen == []


async def test_attack_d08_the_backend_hears_nothing_that_the_client_claims(
    site: World, raw: RawBackend
) -> None:
    claims = [
        "x-forwarded-user", "X_Forwarded_User", "x-forwarded-email", "X_Forwarded-Groups",
        "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-for",
        "x-forwarded-host", "forwarded", "x-forwarded-proto", "x-real-ip", "remote-user",
        "Remote_User", "x-remote-user", "cookie", "x-http-method-override", "x-http-method",
        "x-method-override", "x-forwarded-uri", "x-forwarded-method",
    ]  # fmt: skip
    theirs = await bearer(site)
    answer = await site.http.get(
        f"{site.resource}/x", headers=dict.fromkeys(claims, "root") | theirs
    )
    headers = answer.json()["headers"]
    assert "root" not in str(headers)
    assert theirs["authorization"].removeprefix("Bearer ") not in str(headers)
    assert dict(headers)["x-forwarded-user"] == "alice"
    assert dict(headers)["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("credential", ["upstream"])
async def test_the_backend_gets_the_users_token_at_the_provider(site: World) -> None:
    answer = await site.http.get(f"{site.resource}/x", headers=await bearer(site))
    assert dict(answer.json()["headers"])["authorization"] == "Bearer upstream"


@pytest.mark.parametrize("credential", ["upstream"])
async def test_attack_d08_a_client_can_not_ask_itself(site: World) -> None:
    described = (
        "X-Original-Method: GET\r\nX-Original-URI: /mcp\r\n"
        "Origin: http://localhost\r\nAccess-Control-Request-Method: GET\r\n"
    )
    token = await access_token(site)
    for path in (
        "/verify", "/verify/mcp", "//verify", "/x/../verify", "/%76erify", "/.well-known/../verify",
        "/token/../verify", "/verify?x", "/mcp/../verify", "/.well-known/..%2fverify", "/VERIFY",
        "/branding/../verify", "/callback/../verify", "/mintage/../verify", "/device/../verify",
    ):  # fmt: skip
        for method in ("GET", "OPTIONS"):
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{described}"
            )
            sent = f"{head}Authorization: Bearer {token}\r\n\r\n"
            answer = await raw_answer(site, sent.encode())
            # Any preflight is answered, and the answer says nothing.
            assert re.match(rb"HTTP/1.1 (4\d\d|204) ", answer), (path, answer)
            assert b"upstream" not in answer


async def test_attack_d09_path_tricks_reach_no_backend(site: World, raw: RawBackend) -> None:
    token = await access_token(site)
    for path in (
        "/mcp/..%2fother", "/mcp//x", "//mcp/x", "/mcp/../mcp/x", "/x/../mcp/x", "/mcp%2fx",
        "/mcp/..;/x", "/mcp/x%00", "/mcp/%252e%252e/x", "/mcp/%5c..", "/mcp/./x", "/mcp/%2e%2e/mcp",
        "/MCP/x", "/mcpx",
    ):  # fmt: skip
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        answer = await raw_answer(site, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 (400|403|404) ", answer), (path, answer)
    assert raw.seen == []


async def test_attack_d11_an_outage_of_the_store_is_503_and_passes(
    site: World, raw: RawBackend
) -> None:
    sent = await bearer(site)
    with failing(site.running.store):
        site.clock.advance(60)  # past what is remembered
        answer = await site.http.get(f"{site.resource}/x", headers=sent)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert raw.seen == []


async def test_events_arrive_before_the_next_is_made(site: World, raw: RawBackend) -> None:
    async with (
        asyncio.timeout(10),
        site.http.stream("GET", f"{site.resource}/events", headers=await bearer(site)) as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"data: 1\n\n"
        raw.go.set()  # only now
        assert await anext(chunks) == b"data: 2\n\n"
    async with asyncio.timeout(5):
        await raw.gone.wait()


async def test_a_web_page_may_ask_first_and_read_the_answer(site: World) -> None:
    page = {"origin": "http://localhost:6274"}
    asked = page | {"access-control-request-method": "POST"}
    preflight = await site.http.options(f"{site.resource}/x", headers=asked)
    passed = await site.http.post(f"{site.resource}/x", headers=page | await bearer(site))
    assert (preflight.status_code, passed.status_code) == (204, 200)
    for answer in (preflight, passed):
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]


async def test_attack_e04_a_script_that_fails_lets_nobody_in(
    world: World, raw: RawBackend, listen: int, tmp_path: Path
) -> None:
    """HAProxy goes on with its rules where a script fails."""
    ports = {"listen": listen, "mintage": world.port, "tools": raw.port}
    async with haproxy(tmp_path, **ports, broken=True):
        answer = await world.http.get(f"{world.resource}/x", headers=await bearer(world))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert raw.seen == []


async def test_attack_e11_trailers_do_not_reach_a_backend_that_reads_them_as_headers(
    site: World, raw: RawBackend
) -> None:
    token = (await bearer(site))["authorization"]
    head = f"POST /mcp/x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nConnection: close\r\n"
    sent = f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Forwarded-User: root\r\n\r\n"
    assert (await raw_answer(site, sent.encode())).startswith(b"HTTP/1.1 411 ")
    assert raw.seen == []
