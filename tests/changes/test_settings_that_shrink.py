"""A resource or a scope leaves the settings: logins that need it are refused, and not ruined."""

from typing import Any

import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.support.replicas import replica
from tests.support.world import World


@pytest.fixture
def world_store(tmp_path: Any) -> str:
    return f"sqlite://{tmp_path}/mintage.db"


def only(path: str, *scopes: str) -> dict[str, Any]:
    return {"resource": [{"path": path, "backend": "http://127.0.0.1:9/", "scopes": list(scopes)}]}


async def tokens_of(world: World, client: OAuthClient) -> dict[str, Any]:
    async with world.browser() as browser:
        return await client.tokens(browser)


async def test_a_refresh_for_a_removed_resource_changes_nothing(world: World) -> None:
    client = await world.client()
    tokens = await tokens_of(world, client)
    async with replica(world, **only("/other", "other")) as shrunk:
        there = shrunk.seen_by(client)
        for _ in range(3):
            refused = await there.refresh(tokens["refresh_token"], resource=None)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    world.clock.advance(120)  # past the grace for a repeated refresh
    again = await client.refresh(tokens["refresh_token"])
    assert again.status_code == 200
    assert (await client.call(again.json()["access_token"])).status_code == 200


async def test_a_code_for_a_removed_resource_is_not_spent(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    async with replica(world, **only("/other", "other")) as shrunk:
        refused = await shrunk.seen_by(client).redeem(login, code)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert (await client.redeem(login, code)).status_code == 200


async def test_a_code_of_another_issuer_on_the_same_store_is_not_spent(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    async with replica(world, issuer="http://127.0.0.1:1") as other:
        refused = await other.seen_by(client).redeem(login, code)
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
        assert "retry-after" in refused.headers
    assert (await client.redeem(login, code)).status_code == 200


async def test_a_scope_that_left_the_settings_leaves_new_tokens(world: World) -> None:
    client = await world.client()
    tokens = await tokens_of(world, client)
    assert tokens["scope"] == "tools"
    async with replica(world, **only("/mcp", "files")) as changed:
        fresh = (await changed.seen_by(client).refresh(tokens["refresh_token"])).json()
        assert "scope" not in fresh  # there is no empty one (RFC 6749 §3.3)
        assert (
            changed.running.tokens.read_access(fresh["access_token"], world.resource).scopes == ()
        )
    back = (await client.refresh(fresh["refresh_token"])).json()
    assert back["scope"] == "tools"


async def test_a_token_of_a_removed_resource_can_still_be_revoked(world: World) -> None:
    client = await world.client()
    tokens = await tokens_of(world, client)
    async with replica(world, **only("/other", "other")) as shrunk:
        there = shrunk.seen_by(client)
        assert (await there.revoke(tokens["access_token"])).status_code == 200
    assert (await client.call(tokens["access_token"])).status_code == 401
    assert (await client.refresh(tokens["refresh_token"])).status_code == 400
