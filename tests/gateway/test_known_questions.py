"""A proxy asks the same again: what was found once is good for that very question alone."""

from typing import Any

import pytest
from starlette.types import Message

from mintage.testing.oauth_client import OAuthClient
from tests.gateway.scripted_questions import ask_as_nginx
from tests.support.raw_backend import access_token
from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    rule = {"methods": ["DELETE"], "path": "/keys", "scopes": ["admin"]}
    return {
        "resource": [
            {
                "path": "/mcp",
                "credential": "identity",
                "scopes": ["tools"],
                "optional_scopes": ["admin"],
                "rule": [rule],
            },
            {"path": "/other", "credential": "identity", "scopes": ["tools"]},
            {"path": "/provider", "credential": "upstream", "scopes": ["tools"]},
        ],
        "gateway": {"forward_auth": "nginx", "allowed_origins": ["https://app.example"]},
        "limits": {"requests_per_user": 9},
    }


CHANGED = {
    "origin": {"origin": "https://evil.example"},
    "connection": {"connection": "x-forwarded-user"},
    "framing": {"content-length": "1", "transfer-encoding": "chunked"},
    "MCP header twice": {"mcp-name": "a", "Mcp-Name": "b"},
    "a second token": {"Authorization": "Bearer other"},
}


@pytest.mark.parametrize("more", CHANGED.values(), ids=CHANGED)
async def test_attack_e13_a_header_more_is_another_question(
    world: World, more: dict[str, str]
) -> None:
    token = await access_token(world)
    for _ in range(2):
        assert (await ask_as_nginx(world, token, "/mcp/x")).status == 200
    assert (await ask_as_nginx(world, token, "/mcp/x", **more)).status >= 400
    assert (await ask_as_nginx(world, token, "/mcp/x")).status == 200


async def test_attack_e13_another_method_or_path_is_judged_anew(world: World) -> None:
    token = await access_token(world)
    for _ in range(2):
        assert (await ask_as_nginx(world, token, "/mcp/keys")).status == 200
    assert (await ask_as_nginx(world, token, "/mcp/keys", method="DELETE")).status == 403
    assert (await ask_as_nginx(world, token, "/other")).status == 401
    assert (await ask_as_nginx(world, token, "/mcp/%6beys")).status == 403


async def test_attack_e13_a_known_question_is_of_a_live_grant(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    for _ in range(2):
        assert (await ask_as_nginx(world, token, "/mcp")).status == 200
    await client.revoke(token)
    assert (await ask_as_nginx(world, token, "/mcp")).status == 401


async def test_the_token_of_the_provider_is_not_kept_with_what_is_told(world: World) -> None:
    client = OAuthClient(world.issuer, world.http, f"{world.issuer}/provider")
    await client.register()
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    for _ in range(2):
        answer = await ask_as_nginx(world, token, "/provider")
        assert answer.headers["authorization"].startswith("bearer upstream-access-")
    asked = world.running.router.forward_auth
    assert asked is not None
    assert "alice" in repr(asked._told)
    assert "upstream-access-" not in repr(asked._told)


async def test_attack_d24_a_known_question_is_counted(world: World) -> None:
    token = await access_token(world)
    statuses = [(await ask_as_nginx(world, token, "/mcp")).status for _ in range(11)]
    assert statuses[:9] == [200] * 9
    assert 200 not in statuses[9:]


async def test_attack_d08_a_stranger_may_not_ask_what_a_proxy_has_asked(world: World) -> None:
    token = await access_token(world)
    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"x-original-method", b"GET"),
        (b"x-original-uri", b"/mcp"),
    ]
    found = [await _asked(world, peer, headers) for peer in (None, None, "10.0.0.1", None)]
    assert found == [200, 200, 403, 200]


async def _asked(world: World, peer: str | None, headers: list[tuple[bytes, bytes]]) -> int:
    scope = {
        "type": "http", "method": "GET", "path": "/verify", "raw_path": b"/verify",
        "query_string": b"", "headers": headers, "scheme": "http",
        "client": None if peer is None else (peer, 1),
    }  # fmt: skip
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        messages.append(message)

    await world.app(scope, receive, send)
    return int(messages[0]["status"])
