"""Upstream tokens that never end, through the whole house: gateway, vault, provider."""

import asyncio
from typing import Any

import pytest

from mintage.testing.fake_upstream import FakeUpstream, Fault
from tests.support.world import World

RECHECK = 600
UNANSWERED = 1800


@pytest.fixture
def overrides(upstream: FakeUpstream) -> dict[str, Any]:
    """A provider like GitHub: no discovery, no id_token, no refresh token, no expires_in."""
    upstream.lifetime = None
    upstream.refreshable = False
    return {
        "upstream": {
            "preset": "oauth2",
            "client_id": upstream.client_id,
            "client_secret": "env:UPSTREAM_SECRET",
            "auth_method": "client_secret_post",
            "authorization_endpoint": f"{upstream.url}/authorize",
            "token_endpoint": f"{upstream.url}/token",
            "userinfo_endpoint": f"{upstream.url}/userinfo",
            "recheck_seconds": RECHECK,
        },
        "grants": {"unanswered_seconds": UNANSWERED},
    }


async def test_a_live_token_is_looked_at_once_for_all(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    for _ in range(3):
        before = world.upstream.seen["userinfo"]
        world.clock.advance(RECHECK)
        answers = await asyncio.gather(*(client.call(tokens["access_token"]) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert world.upstream.seen["userinfo"] == before + 1
    sent = {request.headers["authorization"] for request in world.backend.requests}
    assert len(sent) == 1  # the same upstream token all along


async def test_a_token_that_was_taken_back_ends_the_login(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.upstream.end_all()
    assert (await client.call(tokens["access_token"])).status_code == 200  # nobody knows yet
    world.clock.advance(RECHECK)
    answer = await client.call(tokens["access_token"])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("fault", ["500", "429", "redirect", "garbage", "temporarily_unavailable"])
async def test_attack_c09_an_outage_ends_nothing(world: World, fault: Fault) -> None:
    """The login goes on for a stated time; after that it waits, and nothing is lost."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(RECHECK)
    world.upstream.faults["userinfo"] = fault
    assert (await client.call(tokens["access_token"])).status_code == 200
    tokens = (await client.refresh(tokens["refresh_token"])).json()
    world.clock.advance(UNANSWERED - 100)
    tokens = (await client.refresh(tokens["refresh_token"])).json()
    world.clock.advance(100)
    answer = await client.call(tokens["access_token"])
    assert answer.status_code in (502, 503)
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.json()["error"] in ("temporarily_unavailable", "server_error")
    world.upstream.faults.clear()
    world.clock.advance(5)
    assert (await client.call(tokens["access_token"])).status_code == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200
    assert world.upstream.seen["revoke"] == 0
