"""The official TypeScript MCP clients, both lines of them, through the gateway to a real server."""

from typing import Any

import pytest

from mintage.testing.oauth_client import REDIRECT_URI
from tests.support.node import Answer, converse
from tests.support.world import World

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]

ALICE = [{"type": "text", "text": "alice"}]
CLIENTS = {
    "sdk 1.x": ("@modelcontextprotocol/sdk", "legacy"),
    "client 2.x": ("@modelcontextprotocol/client", "legacy"),
    "client 2.x, newest revision": ("@modelcontextprotocol/client", {"pin": "2026-07-28"}),
}


@pytest.mark.parametrize("method", ["none", "client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_login_tool_call_refresh_and_tool_call(
    world: World, answers: dict[str, Answer], client: str, method: str
) -> None:
    package, mode = CLIENTS[client]
    found: dict[str, Any] = await converse(
        "clients/typescript.mjs",
        {
            "package": package,
            "options": {"versionNegotiation": {"mode": mode}},
            "url": world.resource,
            "redirect_uri": REDIRECT_URI,
            "method": method,
            "lifetime": 3600 + 60,
        },
        **answers,
    )
    assert "error" not in found, found
    assert found["before"] == found["after"] == ALICE
    if isinstance(mode, dict):
        assert found["version"] == mode["pin"]
    assert found["client"]["token_endpoint_auth_method"] == method
    first, second = found["tokens"]
    assert first["refresh_token"] != second["refresh_token"], "refreshed, not logged in again"
    assert world.upstream.seen["authorization_code"] == 1
