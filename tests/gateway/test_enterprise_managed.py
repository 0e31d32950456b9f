"""From an enterprise's provider to another firm's MCP server, over two servers of Mintage.

The client logs in at the first one and knows nothing of the second. The first one gets an ID-JAG of
the provider, and redeems it at the second, which protects the MCP server.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mintage.demo.backend import build
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from tests.support.mcp_servers import listening, whoami
from tests.support.world import World, opened_world

pytest.importorskip("mintage.server.grant_types.jwt_bearer")  # the other side of an ID-JAG

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ID, SECRET = "the-gateway-of-acme", "the secret of the gateway of acme 0123456789"


def secret_in(directory: Path) -> None:
    directory.mkdir()
    (directory / "secret").touch(0o600)
    (directory / "secret").write_text(SECRET)


@pytest.fixture
async def theirs(
    clock: ManualClock, upstream: FakeUpstream, tmp_path: Path
) -> AsyncIterator[World]:
    """The other firm's server: it trusts the provider of acme."""
    secret_in(tmp_path / "theirs")
    async with listening(build("http://127.0.0.1:9/")) as backend:
        settings: dict[str, Any] = {
            "grant_types": {"jwt_bearer": {}},
            "resource": [
                {
                    "path": "/mcp",
                    "backend": backend,
                    "scopes": ["tools"],
                    "credential": "identity",
                }
            ],
            "client": [
                {
                    "client_id": CLIENT_ID,
                    "client_secret": "file:secret",
                    "grant_types": [JWT_BEARER],
                }
            ],
            "trusted_issuer": [
                {
                    "name": "acme",
                    "issuer": upstream.issuer,
                    "purpose": "id_jag",
                    "resources": ["/mcp"],
                    "scopes": ["tools"],
                }
            ],
        }
        async with opened_world(clock, upstream, tmp_path / "theirs", settings, {}) as world:
            upstream.id_jags[world.issuer] = CLIENT_ID
            yield world


@pytest.fixture
async def ours(
    theirs: World, clock: ManualClock, upstream: FakeUpstream, tmp_path: Path
) -> AsyncIterator[World]:
    """The enterprise's gateway, where its people log in."""
    secret_in(tmp_path / "ours")
    settings: dict[str, Any] = {
        "resource": [
            {
                "path": "/mcp",
                "backend": f"{theirs.issuer}/mcp",
                "scopes": ["use"],
                "credential": "id_jag",
                "id_jag": {
                    "issuer": theirs.issuer,
                    "client_id": CLIENT_ID,
                    "client_secret": "file:secret",
                    "resource": f"{theirs.issuer}/mcp",
                    "scope": "tools",
                },
            }
        ]
    }
    async with opened_world(clock, upstream, tmp_path / "ours", settings, {}) as world:
        yield world


async def test_a_real_client_calls_a_tool_of_another_firms_server(
    ours: World, theirs: World
) -> None:
    client = await ours.client()
    async with ours.browser() as browser:
        tokens = await client.tokens(browser)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(ours.resource, http_client=http)) as mcp,
    ):
        assert await whoami(mcp) == "alice"
        assert await whoami(mcp) == "alice"
    redeemed = [form for form in theirs.upstream.forms if "requested_token_type" in form]
    assert len(redeemed) == 1, "one ID-JAG for all requests of the login"


async def test_our_token_opens_nothing_there_and_their_login_page_is_not_seen(
    ours: World, theirs: World
) -> None:
    client = await ours.client()
    async with ours.browser() as browser:
        tokens = await client.tokens(browser)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    answer = await ours.http.post(theirs.resource, headers=headers, json={})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert theirs.stored() == 0
