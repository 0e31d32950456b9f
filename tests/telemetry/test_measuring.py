"""What is counted while a server works, in this process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from mintage.events.requests import RequestRefused
from mintage.stores.protocol import Page
from mintage.telemetry.grant_count import counted
from mintage.telemetry.security import SecurityCounters
from mintage.testing.browser import Browser
from mintage.testing.counting_store import CountingStore
from mintage.testing.nanoidp import free_port
from tests.support.logins import new_code
from tests.support.raw_backend import RawBackend, access_token
from tests.support.world import THE_BACKEND, World
from tests.telemetry.scrape import Numbers


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {
        "resource": [
            {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["tools"], "credential": "none"},
            {
                "path": "/down",
                "backend": f"http://127.0.0.1:{free_port()}",
                "scopes": ["tools"],
                "credential": "none",
            },
            {"path": "/site", "backend": THE_BACKEND, "browser": True},
        ]
    }


async def test_each_request_is_counted_by_endpoint_resource_and_status(
    world: World, numbers: Numbers, browser: Browser
) -> None:
    client = await world.client()
    tokens = await client.tokens(browser)
    for _ in range(3):
        assert (await client.call(tokens["access_token"])).status_code == 200
    assert (await client.call("wrong")).status_code == 401
    name = "mintage_request_seconds_count"
    assert numbers(name, endpoint="resource", resource="/mcp", status="2xx") == 3
    assert numbers(name, endpoint="resource", resource="/mcp", status="4xx") == 1
    assert numbers(name, endpoint="register", status="2xx") == 1
    assert numbers(name, endpoint="token", status="2xx") == 1
    assert numbers(name, endpoint="callback", status="2xx") == 1
    assert numbers("mintage_backend_seconds_count", resource="/mcp", outcome="2xx") == 3


async def test_the_questions_to_the_provider_and_its_answers_are_counted(
    world: World, numbers: Numbers, browser: Browser
) -> None:
    client = await world.client()
    await client.tokens(browser)
    name = "mintage_provider_seconds_count"
    assert numbers(name, provider="oidc", question="login", outcome="yes") == 1
    requests = "mintage_provider_http_seconds_count"
    assert numbers(requests, request="discovery", status="2xx") == 1
    assert numbers(requests, request="keys", status="2xx") == 1
    assert numbers(requests, request="code", status="2xx") == 1
    assert numbers("mintage_provider_up", provider="oidc") == 1


async def test_an_outage_of_the_provider_is_unknown_and_a_refusal_is_no(
    world: World, numbers: Numbers, browser: Browser
) -> None:
    client = await world.client()
    tokens = await client.tokens(browser)
    world.clock.advance(3600)
    world.upstream.faults["token"] = "500"
    answer = await client.refresh(tokens["refresh_token"])
    assert answer.status_code == 503
    name = "mintage_provider_seconds_count"
    assert numbers(name, question="refresh", outcome="unknown") == 1
    assert numbers("mintage_provider_up") == 0
    del world.upstream.faults["token"]
    world.clock.advance(60)
    world.upstream.errors["refresh_token"] = (400, {"error": "invalid_grant"})
    await client.refresh(tokens["refresh_token"])
    assert numbers(name, question="refresh") == 2
    assert numbers("mintage_provider_up") == 1


async def test_a_backend_that_is_down_is_unreachable(
    world: World, numbers: Numbers, browser: Browser
) -> None:
    client = await world.client()
    tokens = await client.tokens(browser, resource=f"{world.issuer}/down")
    answer = await world.http.get(
        f"{world.issuer}/down", headers={"authorization": f"Bearer {tokens['access_token']}"}
    )
    assert answer.status_code == 502
    assert numbers("mintage_backend_seconds_count", resource="/down", outcome="unreachable") == 1
    assert numbers("mintage_request_seconds_count", resource="/down", status="5xx") == 1


async def test_the_store_and_the_cache_are_counted(
    world: World, numbers: Numbers, browser: Browser
) -> None:
    client = await world.client()
    tokens = await client.tokens(browser)
    for _ in range(3):
        await client.call(tokens["access_token"])
    assert numbers("mintage_store_seconds_count", operation="replace", outcome="ok") == 1
    assert numbers("mintage_cache_lookups_total", result="miss") == 1
    assert numbers("mintage_cache_lookups_total", result="hit") == 2
    claimed = numbers("mintage_store_seconds_count", operation="insert", outcome="ok")
    assert claimed == 2  # the claim of the callback, and the grant


async def test_logins_tokens_refusals_and_renewals_are_counted(
    world: World, numbers: Numbers, browser: Browser
) -> None:
    client = await world.client()
    tokens = await client.tokens(browser)
    await client.call("wrong")
    world.clock.advance(3600)
    await client.refresh(tokens["refresh_token"])
    assert numbers("mintage_logins_total", provider="oidc", outcome="admitted") == 1
    assert numbers("mintage_tokens_total", grant_type="authorization_code") == 1
    assert numbers("mintage_tokens_total", grant_type="refresh_token") == 1
    refused = {"endpoint": "resource", "stage": "token", "error": "invalid_token"}
    assert numbers("mintage_refusals_total", **refused) == 1
    assert numbers("mintage_renewals_total", provider="oidc", outcome="renewed") == 1
    await client.revoke(tokens["refresh_token"])
    assert numbers("mintage_grants_ended_total", by="client") == 1


@pytest.mark.parametrize(
    ("path", "endpoint", "stage", "error"),
    [
        ("/mintage/sign-in?to=/nowhere", "mintage/sign-in", "request", "invalid_request"),
        ("/callback?state=x", "callback", "login", "access_denied"),
    ],
)
async def test_a_refusal_has_the_same_endpoint_as_its_request(
    world: World, numbers: Numbers, path: str, endpoint: str, stage: str, error: str
) -> None:
    await world.http.get(world.issuer + path)
    assert numbers("mintage_request_seconds_count", endpoint=endpoint, status="4xx") == 1
    assert numbers("mintage_refusals_total", endpoint=endpoint, stage=stage, error=error) == 1


@pytest.mark.parametrize(
    ("seen", "label"),
    [
        ("admin", "admin"),
        ("callback/github", "callback"),
        (".well-known/oauth-authorization-server", ".well-known"),
        ("mintage/sign-out", "mintage/sign-out"),
        ("mintage/else", "other"),
    ],
)
def test_a_refusal_is_counted_by_the_endpoint_that_refused(
    numbers: Numbers, seen: str, label: str
) -> None:
    count = SecurityCounters(numbers.cells)
    count(RequestRefused(endpoint=seen, stage="token", code="invalid_token", status=401))
    assert numbers("mintage_refusals_total", endpoint=label) == 1


async def test_live_grants_are_counted_over_all_pages(world: World) -> None:
    for number in range(3):
        await new_code(world.running.vault, f"user-{number}", at=int(world.clock()))
    store = FewAtOnce(world.running.store)
    assert await counted(store) == 3
    assert store.seen["list"] == 3


class FewAtOnce(CountingStore):
    async def list(self, **wanted: Any) -> Page:
        return await super().list(**wanted | {"limit": 1})


class TestWebSockets:
    @pytest.fixture
    async def echo(self) -> AsyncIterator[int]:
        async def repeat(connection: websockets.ServerConnection) -> None:
            async for message in connection:
                await connection.send(message)

        async with websockets.serve(repeat, "127.0.0.1", 0) as server:
            yield int(next(iter(server.sockets)).getsockname()[1])

    @pytest.fixture
    def overrides(self, echo: int) -> dict[str, Any]:
        url = f"http://127.0.0.1:{echo}"
        return {"resource": [{"path": "/mcp", "backend": url, "credential": "none"}]}

    async def test_an_open_one_is_counted_until_it_closes(
        self, world: World, numbers: Numbers
    ) -> None:
        headers = {"authorization": f"Bearer {await access_token(world)}"}
        url = f"ws://127.0.0.1:{world.port}/mcp"
        async with websockets.connect(url, additional_headers=headers) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
            assert numbers("mintage_open_websockets", resource="/mcp") == 1
        async with asyncio.timeout(10):
            while numbers("mintage_open_websockets"):
                await asyncio.sleep(0.01)
        assert numbers("mintage_request_seconds_count", resource="/mcp", status="1xx") == 1
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(url)
        assert numbers("mintage_request_seconds_count", resource="/mcp", status="4xx") == 1


class TestStreams:
    @pytest.fixture
    def overrides(self, raw: RawBackend) -> dict[str, Any]:
        url = f"http://127.0.0.1:{raw.port}"
        return {"resource": [{"path": "/mcp", "backend": url, "credential": "none"}]}

    async def test_an_open_stream_is_counted_from_its_head_to_its_end(
        self, world: World, numbers: Numbers, raw: RawBackend
    ) -> None:
        headers = {"authorization": f"Bearer {await access_token(world)}"}
        url = f"{world.issuer}/mcp/events"
        async with world.http.stream("GET", url, headers=headers) as answer:
            await anext(answer.aiter_bytes())
            assert numbers("mintage_open_streams", resource="/mcp") == 1
            # The stream is open, and counted: its head is what was waited for.
            assert numbers("mintage_request_seconds_count", resource="/mcp", status="2xx") == 1
            raw.go.set()
        while numbers("mintage_open_streams"):
            await asyncio.sleep(0.01)
        assert numbers("mintage_request_seconds_count", resource="/mcp") == 1
