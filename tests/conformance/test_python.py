"""The official Python MCP client, through the gateway to a real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from pydantic import AnyUrl

from mintage.demo.memory import Memory
from mintage.network.tls import trusted
from mintage.testing.oauth_client import REDIRECT_URI, answer_of
from tests.support.client_hosts import ClientHost, Names, client_host, fetch_from_tests
from tests.support.mcp_servers import whoami
from tests.support.node import Answer
from tests.support.world import World


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ClientHost]:
    async with client_host(tmp_path) as running:
        yield running


@pytest.fixture
def parts() -> dict[str, Any]:
    return {"fetch": fetch_from_tests(Names())}


@asynccontextmanager
async def connected(provider: OAuthClientProvider, url: str, mode: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(verify=trusted(), auth=provider, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("method", [None, "none", "client_secret_post", "client_secret_basic"])
async def test_login_tool_call_refresh_and_tool_call(
    world: World, answers: dict[str, Answer], method: str | None, mode: str
) -> None:
    landed = []

    async def redirect(url: str) -> None:
        landed.append(await answers["open"](url))

    async def callback() -> AuthorizationCodeResult:
        answer = answer_of(landed[-1])
        return AuthorizationCodeResult(
            code=answer["code"], state=answer["state"], iss=answer["iss"]
        )

    memory = Memory()
    metadata = OAuthClientMetadata.model_validate(
        {"redirect_uris": [AnyUrl(REDIRECT_URI)], "token_endpoint_auth_method": method}
    )
    provider = OAuthClientProvider(world.resource, metadata, memory, redirect, callback)
    async with connected(provider, world.resource, mode) as client:
        assert await whoami(client) == "alice"
        assert memory.tokens is not None
        first = memory.tokens
        provider.context.token_expiry_time = 1  # the client's own clock: the token looks old
        assert await whoami(client) == "alice"
    assert memory.tokens.refresh_token not in (None, first.refresh_token)
    assert memory.client is not None
    assert memory.client.token_endpoint_auth_method == (method or "client_secret_basic")
    assert len(landed) == 1, "refreshed, not logged in again"


async def test_a_client_that_publishes_its_document_need_not_register(
    world: World, answers: dict[str, Answer], host: ClientHost
) -> None:
    """It sees that the server takes metadata documents, and sends the URL of its own."""
    landed = []
    published = host.publish(redirect_uris=[REDIRECT_URI])

    async def redirect(url: str) -> None:
        landed.append(await answers["open"](url))

    async def callback() -> AuthorizationCodeResult:
        answer = answer_of(landed[-1])
        return AuthorizationCodeResult(
            code=answer["code"], state=answer["state"], iss=answer["iss"]
        )

    memory = Memory()
    metadata = OAuthClientMetadata.model_validate({"redirect_uris": [AnyUrl(REDIRECT_URI)]})
    provider = OAuthClientProvider(
        world.resource, metadata, memory, redirect, callback, client_metadata_url=published
    )
    async with connected(provider, world.resource, "auto") as client:
        assert await whoami(client) == "alice"
        provider.context.token_expiry_time = 1
        assert await whoami(client) == "alice"
    assert memory.client is not None
    assert memory.client.client_id == published
    assert len(landed) == 1, "refreshed, not logged in again"
