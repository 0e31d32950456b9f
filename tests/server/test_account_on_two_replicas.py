"""The page of the connected apps where two servers share a store: one signs in, the other acts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import OAuthClient
from tests.support.account import grants_on, sign_in
from tests.support.world import World, opened_world

shared_stores = pytest.mark.parametrize(
    "store_url",
    [
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ],
    indirect=True,
)


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def pair(
    store_url: str, clock: ManualClock, upstream: FakeUpstream, tmp_path: Path
) -> AsyncIterator[tuple[World, World]]:
    """Two servers with one issuer, one secret and one store. The issuer leads to the first."""
    store: dict[str, Any] = {"store": store_url}
    async with opened_world(clock, upstream, tmp_path, store, {}) as one:
        same = store | {"issuer": one.issuer}
        async with opened_world(clock, upstream, tmp_path, same, {}) as other:
            yield one, other


def at(world: World, client: OAuthClient) -> OAuthClient:
    """*client*, which talks to this very server."""
    address = f"http://127.0.0.1:{world.port}"
    return OAuthClient(address, world.http, f"{address}/mcp", client.client_id)


async def soon(condition: Callable[[], bool]) -> bool:
    for _ in range(100):
        if condition():
            return True
        await asyncio.sleep(0.05)
    return False


def upstream_token(world: World) -> str:
    """What the backend got last."""
    header: str = world.backend.requests[-1].headers["authorization"]
    return header.removeprefix("Bearer ")


@shared_stores
async def test_an_app_is_disconnected_at_the_server_where_nobody_signed_in(
    pair: tuple[World, World],
) -> None:
    one, other = pair
    client = await one.client(client_name="The Editor")
    async with one.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
        assert (await at(one, client).call(token)).status_code == 200
        given = upstream_token(one)
        await sign_in(one, browser)
        page = await browser.open(f"http://127.0.0.1:{other.port}/account")
        assert "The Editor" in page.text
        (grant,) = grants_on(page)
        after = await browser.submit(page, {"grant": grant})
        assert after.url.startswith(f"http://127.0.0.1:{other.port}/")
        assert grants_on(after) == []
    assert (await at(other, client).call(token)).status_code == 401
    assert await soon(lambda: not one.upstream.is_live(given)), "the first had it in its cache"
    assert (await at(one, client).call(token)).status_code == 401
    assert one.upstream.seen["revoke"] == 1


@shared_stores
@pytest.mark.parametrize("comes_to", [0, 1])
async def test_the_provider_is_told_when_the_app_comes_again(
    pair: tuple[World, World], clock: ManualClock, comes_to: int
) -> None:
    """No server had its grant decrypted any more when it was disconnected."""
    one, other = pair
    client = await one.client()
    async with one.browser() as browser:
        tokens = await client.tokens(browser)
        await client.call(tokens["access_token"])
        given = upstream_token(one)
        clock.advance(120)  # the caches have forgotten it
        await sign_in(one, browser)
        page = await browser.open(f"http://127.0.0.1:{other.port}/account")
        await browser.submit(page, {"action": "disconnect_all"})
    await asyncio.gather(one.running.vault.drain(), other.running.vault.drain())
    assert one.upstream.seen["revoke"] == 0
    first, second = at(pair[comes_to], client), at(pair[1 - comes_to], client)
    assert (await first.call(tokens["access_token"])).status_code == 401
    assert (await second.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await second.call(tokens["access_token"])).status_code == 401
    await asyncio.gather(one.running.revoker.drain(), other.running.revoker.drain())
    assert not one.upstream.is_live(given)
    assert one.upstream.seen["revoke"] == 1


@shared_stores
async def test_who_signs_out_at_one_is_signed_out_at_the_other(pair: tuple[World, World]) -> None:
    one, other = pair
    client = await one.client(client_name="The Editor")
    async with one.browser() as browser:
        await client.tokens(browser)
        page = await sign_in(one, browser)
        cookies = one.cookies_of(browser)
        await browser.submit(page, {"action": "sign_out"})
        url = f"http://127.0.0.1:{other.port}/account"
        assert "The Editor" not in (await one.http.get(url, headers=cookies)).text
