"""The manual's nginx, run: login through it, and in front of a server that trusts its headers."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mintage.demo.backend import build
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.dpop import BoundClient
from tests.support.faulty_store import failing
from tests.support.mcp_servers import listening, whoami
from tests.support.proxies import Keeper, nginx
from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World


class Tools(RawBackend):
    """A server behind nginx that speaks WebSocket as well: it says who is calling, then echoes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await super().__call__(scope, receive, send)
        self.seen.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        user = dict(scope["headers"])[b"x-forwarded-user"]
        await send({"type": "websocket.send", "text": user.decode()})
        message = await receive()
        return await send({"type": "websocket.send", "text": message["text"]})


@pytest.fixture
async def raw() -> AsyncIterator[RawBackend]:
    backend = Tools(free_port())
    config = uvicorn.Config(
        backend, port=backend.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    async with serving(uvicorn.Server(config)):
        yield backend


@pytest.fixture
def credential() -> str:
    """What the backend is told; a test that wants it otherwise is parametrized with it."""
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
        "gateway": {"forward_auth": "nginx"},
    }


@pytest.fixture(params=[None, "lua"])
def keeper(request: pytest.FixtureRequest) -> Keeper | None:
    """With Lua it is a script that says what becomes of an answer."""
    found: Keeper | None = request.param
    return found


@pytest.fixture
async def site(
    world: World,
    raw: RawBackend,
    listen: int,
    tmp_path: Path,
    asked_at: int | Path,
    keeper: Keeper | None,
) -> AsyncIterator[World]:
    """A world that is reached through nginx."""
    async with nginx(tmp_path, listen=listen, mintage=asked_at, tools=raw.port, keeper=keeper):
        yield world


async def bearer(world: World, path: str = "/mcp") -> dict[str, str]:
    return {"authorization": f"Bearer {await access_token(world, path)}"}


async def logged_in(world: World) -> tuple[str, str]:
    """(access token, refresh token) after a login of which every step went through nginx."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    return tokens["access_token"], tokens["refresh_token"]


@pytest.mark.parametrize("keeper", [None])  # a kept answer holds for some seconds
async def test_login_call_and_revocation(site: World, raw: RawBackend) -> None:
    client = await site.client()
    async with site.browser() as browser:
        tokens = await client.tokens(browser)
    sent = {"authorization": f"Bearer {tokens['access_token']}"}
    good = await site.http.post(f"{site.resource}/echo", headers=sent, content=b"a call")
    assert good.status_code == 200
    assert dict(good.json()["headers"])["x-forwarded-user"] == "alice"
    assert (await client.revoke(tokens["refresh_token"])).status_code == 200
    gone = await site.http.post(f"{site.resource}/echo", headers=sent)
    assert gone.status_code == 401
    assert 'error="invalid_token"' in gone.headers["www-authenticate"]
    assert len(raw.seen) == 1


async def test_a_real_client_calls_a_tool_of_a_real_server(
    world: World, listen: int, tmp_path: Path
) -> None:
    async with listening(build("http://127.0.0.1:9/")) as url:
        port = int(url.split(":")[2].partition("/")[0])
        async with nginx(tmp_path, listen=listen, mintage=world.port, tools=port):
            token, _ = await logged_in(world)
            headers = {"authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
                Client(streamable_http_client(world.resource, http_client=http)) as client,
            ):
                assert await whoami(client) == "alice"


async def test_without_a_token_the_client_hears_where_to_log_in(
    site: World, raw: RawBackend
) -> None:
    answer = await site.http.post(site.resource, json={})
    metadata = f"{site.issuer}/.well-known/oauth-protected-resource/mcp"
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [
        (
            f'Bearer scope="tools", resource_metadata="{metadata}", '
            'DPoP algs="ES256 EdDSA Ed25519 RS256 PS256"'
        )
    ]
    assert answer.json()["error"] == "invalid_token"
    assert (await site.http.get(metadata)).json()["resource"] == site.resource
    assert raw.seen == []


async def test_too_few_scopes_are_403_with_those_that_it_takes(
    site: World, raw: RawBackend
) -> None:
    answer = await site.http.delete(f"{site.resource}/x", headers=await bearer(site))
    assert answer.status_code == 403
    (challenge,) = answer.headers.get_list("www-authenticate")
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="tools admin"' in challenge
    assert answer.json()["error"] == "access_denied"
    assert raw.seen == []


async def test_attack_a09_a_token_of_a_sibling_does_not_pass(site: World, raw: RawBackend) -> None:
    answer = await site.http.get(f"{site.resource}/x", headers=await bearer(site, "/other"))
    assert answer.status_code == 401
    assert raw.seen == []


async def test_attack_d08_the_backend_hears_nothing_that_the_client_claims(
    site: World, raw: RawBackend
) -> None:
    claims = [
        "x-forwarded-user", "X_Forwarded_User", "x-forwarded-email", "x-forwarded-groups",
        "x-forwarded-preferred-username", "x-forwarded-for", "x-forwarded-host", "forwarded",
        "x-forwarded-proto", "x-real-ip", "remote-user", "Remote_User", "x-remote-user", "cookie",
        "x-http-method-override", "x-http-method", "x-method-override",
    ]  # fmt: skip
    theirs = await bearer(site)
    sent = dict.fromkeys(claims, "root") | theirs
    answer = await site.http.get(f"{site.resource}/x", headers=sent)
    headers = answer.json()["headers"]
    assert "root" not in str(headers)
    assert theirs["authorization"].removeprefix("Bearer ") not in str(headers)
    assert dict(headers)["x-forwarded-user"] == "alice"
    assert dict(headers)["x-forwarded-for"] == "127.0.0.1"
    assert len({name for name, _ in headers}) == len(headers)


@pytest.mark.parametrize("credential", ["upstream"])
async def test_the_backend_gets_the_users_token_at_the_provider(
    site: World, raw: RawBackend
) -> None:
    answer = await site.http.get(f"{site.resource}/x", headers=await bearer(site))
    assert dict(answer.json()["headers"])["authorization"] == "Bearer upstream"
    assert "authorization" not in answer.headers


@pytest.mark.parametrize("credential", ["upstream"])
async def test_attack_d08_a_client_can_not_ask_itself(site: World) -> None:
    """It would get the token that is for the backend."""
    described = "X-Original-Method: GET\r\nX-Original-URI: /mcp\r\n"
    token = await access_token(site)
    for path in (
        "/verify", "/verify/mcp", "/_mintage/verify", "/_mintage/ask", "//verify",
        "/x/../verify", "/%76erify", "/.well-known/../verify", "/token/../verify", "/verify?x",
        "/mcp/../verify",
    ):  # fmt: skip
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{described}"
        answer = await raw_answer(site, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 4"), path
        assert b"upstream" not in answer


async def test_attack_d08_nothing_that_a_client_sends_changes_the_question(
    site: World, raw: RawBackend
) -> None:
    token = (await access_token(site, "/other")).encode()
    head = b"GET /mcp/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + token
    for smuggled in (
        b"X-Original-URI: /other", b"x-original-uri: /other\r\nX-ORIGINAL-URI: /other",
        b"X_Original_URI: /other", b"X-Original-URI : /other", b"X-Forwarded-Uri: /other",
        b"X-Original-URL: /other", b"X-Rewrite-URL: /other", b"Connection: X-Original-URI",
        b"Connection: Authorization", b"X-Original-Method: OPTIONS", b"Content-Length: 0",
    ):  # fmt: skip
        answer = await raw_answer(site, head + b"\r\n" + smuggled + b"\r\n\r\n")
        assert re.match(rb"HTTP/1.1 (400|401) ", answer), smuggled
    assert raw.seen == []


async def test_attack_d08_two_tokens_are_not_one(site: World, raw: RawBackend) -> None:
    good, bad = await access_token(site), await access_token(site, "/other")
    for first, second in ((good, bad), (bad, good)):
        lines = f"Authorization: Bearer {first}\r\nAuthorization: Bearer {second}\r\n"
        answer = await raw_answer(site, f"GET /mcp/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
        assert re.match(rb"HTTP/1.1 40[0-3] ", answer)
    assert raw.seen == []


async def test_attack_d09_path_tricks_reach_no_backend(site: World, raw: RawBackend) -> None:
    token = await access_token(site)
    for path in (
        "/mcp/..%2fother", "/mcp//x", "//mcp/x", "/mcp/../mcp/x", "/x/../mcp/x", "/mcp%2fx",
        "/mcp/..;/x", "/mcp/x%00", "/mcp/%252e%252e/x", "/mcp/%5c..", "/mcp/./x", "/mcp/%2e%2e/mcp",
    ):  # fmt: skip
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        answer = await raw_answer(site, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 (400|403|404) ", answer), path
    assert raw.seen == []


async def test_attack_d09_a_neighbour_is_not_below(site: World, raw: RawBackend) -> None:
    answer = await site.http.get(f"{site.issuer}/mcpx", headers=await bearer(site))
    assert answer.status_code == 404
    assert raw.seen == []


@pytest.mark.parametrize("path", ["/mcp/x", "/.well-known/oauth-authorization-server"])
async def test_attack_d04_no_header_changes_an_address(site: World, path: str) -> None:
    evil = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "ftp",
            "forwarded": "host=evil.example", "x-original-host": "evil.example"}  # fmt: skip
    answer = await site.http.get(site.issuer + path, headers=evil)
    assert "evil" not in answer.text + str(answer.headers)
    assert site.issuer in answer.text + str(answer.headers)


async def test_attack_d11_an_outage_of_the_store_is_503_and_passes(
    site: World, raw: RawBackend
) -> None:
    sent = await bearer(site)
    with failing(site.running.store):
        site.clock.advance(60)  # past what is remembered
        answer = await site.http.get(f"{site.resource}/x", headers=sent)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert "www-authenticate" not in answer.headers
    assert raw.seen == []
    site.clock.advance(60)
    assert (await site.http.get(f"{site.resource}/x", headers=sent)).status_code == 200


async def test_attack_d11_mintage_itself_away_is_503(
    world: World, raw: RawBackend, listen: int, tmp_path: Path, keeper: Keeper | None
) -> None:
    away = free_port()
    async with nginx(tmp_path, listen=listen, mintage=away, tools=raw.port, keeper=keeper):
        answer = await world.http.get(f"{world.resource}/x", headers=await bearer(world))
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


async def test_uploads_pass_as_they_come(site: World, raw: RawBackend) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            assert await raw.chunks.get() == b"%d" % number  # it is there, and we sent no more

    async with asyncio.timeout(10):
        answer = await site.http.post(
            f"{site.resource}/upload", content=pieces(), headers=await bearer(site)
        )
    assert answer.text == "3"


async def test_websocket_passes(site: World) -> None:
    url = f"{site.resource}/socket".replace("http:", "ws:")
    async with connect(url, additional_headers=await bearer(site), proxy=None) as socket:
        assert await socket.recv() == "alice"
        await socket.send("and back")
        assert await socket.recv() == "and back"


async def test_websocket_without_a_token_does_not(site: World, raw: RawBackend) -> None:
    with pytest.raises(InvalidStatus, match="401"):
        await connect(f"{site.resource}/socket".replace("http:", "ws:"), proxy=None)
    assert raw.seen == []


async def test_a_web_page_may_ask_first_and_read_the_answers(site: World, raw: RawBackend) -> None:
    page = {"origin": "http://localhost:6274"}
    asked = page | {"access-control-request-method": "POST"}
    preflight = await site.http.options(f"{site.resource}/x", headers=asked)
    refused = await site.http.post(f"{site.resource}/x", headers=page)
    assert raw.seen == []
    passed = await site.http.post(f"{site.resource}/x", headers=page | await bearer(site))
    other = await site.http.options(f"{site.resource}/x", headers=page)
    assert [a.status_code for a in (preflight, refused, passed, other)] == [204, 401, 200, 401]
    for answer in (preflight, refused, passed):
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]


async def test_spec122_attack_f54_bound_tokens_behind_nginx(site: World, raw: RawBackend) -> None:
    """The question has the proof, the backend does not; the URL is the public one."""
    client = BoundClient(await site.client(), site.clock)
    async with site.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    raw.seen.clear()
    good = await client.call(token, uri=f"{site.resource}/x?q=1")
    assert good.status_code == 200
    assert b"dpop" not in dict(raw.seen[-1]["headers"])
    raw.seen.clear()
    headers = {"authorization": f"DPoP {token}"} | client.proof("GET", site.resource, token=token)
    first, again = [await site.http.get(site.resource, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 401)
    assert 'DPoP error="invalid_dpop_proof"' in again.headers["www-authenticate"]
    raw.seen.clear()
    stolen = await client.client.call(token)
    assert stolen.status_code == 401
    assert stolen.headers["www-authenticate"].startswith('DPoP error="invalid_token"')
    elsewhere = await client.call(token, htu=f"{site.resource}/other")
    assert elsewhere.status_code == 401
    assert not raw.seen
