"""``/introspect`` (RFC 7662): told to those whom it concerns, and a closed door to all others."""

from typing import Any

import httpx2
import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.support.world import World

SECRET = "the secret of the server behind /mcp 0123456789"
INACTIVE = {"active": False}


@pytest.fixture
def overrides(tmp_path: Any) -> dict[str, Any]:
    (tmp_path / "introspector").write_text(SECRET)
    return {
        "client": [
            {
                "client_id": "mcp-server",
                "client_secret": "file:introspector",
                "introspects": ["/mcp"],
            }
        ]
    }


async def ask(
    world: World, token: str, *, auth: tuple[str, str] | None, **posted: str
) -> httpx2.Response:
    return await world.http.post(
        f"{world.issuer}/introspect",
        data={"token": token} | posted,
        auth=httpx2.USE_CLIENT_DEFAULT if auth is None else auth,
    )


async def described(world: World, token: str, **posted: str) -> Any:
    """What the resource's server is told, or whoever else *posted* says it is."""
    auth = None if posted else ("mcp-server", SECRET)
    answer = await ask(world, token, auth=auth, **posted)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def credentials(client: OAuthClient) -> dict[str, str]:
    assert client.client_secret is not None
    return {"client_id": client.client_id, "client_secret": client.client_secret}


async def logged_in(world: World, **metadata: Any) -> tuple[OAuthClient, dict[str, Any]]:
    client = await world.client(**metadata)
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def test_spec091_a_good_token_is_described_as_it_is(world: World) -> None:
    client, tokens = await logged_in(world)
    told = await described(world, tokens["access_token"])
    claims = world.running.tokens.read_any(tokens["access_token"])[1]
    assert told == {
        "active": True,
        "scope": "tools",
        "client_id": client.client_id,
        "sub": "alice",
        "aud": world.resource,
        "iss": world.issuer,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": claims.jti,
        "token_type": "Bearer",
    }


async def test_spec091_a_token_that_is_not_good_is_inactive_and_no_more_is_said(
    world: World,
) -> None:
    client, tokens = await logged_in(world)
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    assert await described(world, access[:-2] + "AA") == INACTIVE
    assert await described(world, "made up") == INACTIVE
    assert await described(world, refresh) == INACTIVE  # the server's own, not the resource's
    await client.revoke(refresh)
    assert await described(world, access) == INACTIVE


async def test_an_expired_token_is_inactive(world: World) -> None:
    _, tokens = await logged_in(world)
    world.clock.advance(3700)
    assert await described(world, tokens["access_token"]) == INACTIVE


async def test_attack_c08_a_stranger_is_told_nothing(world: World) -> None:
    _, tokens = await logged_in(world)
    access = tokens["access_token"]
    for auth in (None, ("mcp-server", "wrong" * 10), ("nobody", SECRET)):
        answer = await ask(world, access, auth=auth)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "active" not in answer.json()
    public = await world.client()
    answer = await world.http.post(
        f"{world.issuer}/introspect", data={"token": access, "client_id": public.client_id}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_attack_c08_another_client_and_another_resource_learn_nothing(world: World) -> None:
    _, tokens = await logged_in(world)
    other = await world.client(token_endpoint_auth_method="client_secret_post")
    assert await described(world, tokens["access_token"], **credentials(other)) == INACTIVE
    client = await world.client()
    client.resource = f"{world.issuer}/other"
    async with world.browser() as browser:
        elsewhere = await client.tokens(browser)
    assert await described(world, elsewhere["access_token"]) == INACTIVE


async def test_a_confidential_client_may_ask_about_its_own(world: World) -> None:
    client, tokens = await logged_in(world, token_endpoint_auth_method="client_secret_post")
    assert (await described(world, tokens["access_token"], **credentials(client)))["active"] is True
    told = await described(world, tokens["refresh_token"], **credentials(client))
    assert (told["active"], "token_type" in told) == (True, False)


async def test_an_upstream_claim_is_told_where_the_token_carries_it(world: World) -> None:
    _, tokens = await logged_in(world)
    assert "email" not in str(await described(world, tokens["access_token"]))


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_it_takes_a_post(world: World, method: str) -> None:
    answer = await world.http.request(method, f"{world.issuer}/introspect")
    assert answer.status_code == 405
