"""The token endpoint and what belongs to it (RFC 6749 §5, RFC 7009), line by line."""

import base64
from typing import Any

import httpx2
import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.support.world import World


async def logged_in(world: World, **metadata: Any) -> tuple[OAuthClient, dict[str, Any]]:
    client = await world.client(**metadata)
    async with world.browser() as browser:
        return client, await client.tokens(browser)


def refused(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


async def test_spec074_what_it_does_not_know_it_leaves_out(world: World) -> None:
    client, tokens = await logged_in(world)
    answer = await client.refresh(tokens["refresh_token"], unheard_of="x", audience="x")
    assert answer.status_code == 200


async def test_spec075_no_answer_is_kept_and_each_is_json(world: World) -> None:
    client, tokens = await logged_in(world)
    good = await client.refresh(tokens["refresh_token"])
    bad = await client.refresh("x")
    for answer in (good, bad):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"
    assert good.json()["token_type"] == "Bearer"
    assert good.json()["expires_in"] == 3600


async def test_spec076_each_error_has_its_status(world: World) -> None:
    client, tokens = await logged_in(world)
    once = await world.client(grant_types=["authorization_code"])
    found = {
        refused(await client.token(grant_type="authorization_code")),
        refused(await client.refresh("x")),
        refused(await client.refresh(tokens["refresh_token"], scope="other")),
        refused(await client.token(grant_type="password")),
        refused(await once.refresh(tokens["refresh_token"])),
        refused(await OAuthClient(world.issuer, world.http, world.resource, "x").refresh("x")),
    }
    assert found == {
        (400, "invalid_request"),
        (400, "invalid_grant"),
        (400, "invalid_scope"),
        (400, "unsupported_grant_type"),
        (400, "unauthorized_client"),
        (401, "invalid_client"),
    }


async def test_spec076_a_client_that_used_basic_is_challenged(world: World) -> None:
    client = await world.client(token_endpoint_auth_method="client_secret_basic")
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    wrong = base64.b64encode(f"{client.client_id}:wrong".encode()).decode()
    answer = await world.http.post(
        f"{world.issuer}/token", data=form, headers={"authorization": f"Basic {wrong}"}
    )
    assert refused(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    answer = await world.http.post(f"{world.issuer}/token", data=form | {"client_id": "x"})
    assert refused(answer) == (401, "invalid_client")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize(
    "grant_type",
    ["password", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "implicit"],
)
async def test_spec077_spec116_a_grant_that_is_not_offered_is_said_to_be_none(
    world: World, grant_type: str
) -> None:
    client = await world.client()
    answer = await client.token(grant_type=grant_type, username="alice", password="x")
    assert refused(answer) == (400, "unsupported_grant_type")


async def test_spec078_a_secret_is_long_enough_not_to_be_guessed(world: World) -> None:
    """Those that we give out have 256 bits: there is nothing to limit the guessing of."""
    clients = [
        await world.client(token_endpoint_auth_method="client_secret_post") for _ in range(3)
    ]
    secrets = {client.client_secret for client in clients}
    assert len(secrets) == 3
    assert all(secret is not None and len(secret) >= 43 for secret in secrets)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:43117/callback", None])
async def test_spec084_a_redirect_uri_may_come_along_or_not(world: World, uri: str | None) -> None:
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    answer = await client.token(
        grant_type="authorization_code",
        code=code,
        code_verifier=login.verifier,
        redirect_uri=uri,
    )
    assert answer.status_code == 200


async def test_spec085_a_session_lasts_as_long_as_it_is_used(world: World) -> None:
    """A month without use ends it; each use begins another month."""
    client, tokens = await logged_in(world)
    month = 2_592_000
    for _ in range(3):
        world.clock.advance(month - 60)
        answer = await client.refresh(tokens["refresh_token"])
        assert answer.status_code == 200
        tokens = answer.json()
    world.clock.advance(month + 60)
    assert refused(await client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


async def test_spec086_a_challenge_says_each_thing_once_and_no_error_to_those_without_a_token(
    world: World,
) -> None:
    bare = (await world.http.get(world.resource)).headers["www-authenticate"]
    wrong = (await world.http.get(world.resource, headers={"authorization": "Bearer x"})).headers[
        "www-authenticate"
    ]
    assert bare.startswith("Bearer ")
    assert "error" not in bare
    assert 'error="invalid_token"' in wrong
    for challenge in (bare, wrong):
        names = [part.split("=")[0].strip() for part in challenge[7:].split('",')]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard_of", None])
@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_spec087_spec089_spec090_revoking_either_ends_both_whatever_the_hint(
    world: World, hint: str | None, which: str
) -> None:
    client, tokens = await logged_in(world)
    answer = await client.revoke(tokens[which], token_type_hint=hint)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await client.call(tokens["access_token"])).status_code == 401
    assert refused(await client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    await world.running.revoker.drain()
    assert not any(map(world.upstream.is_live, world.upstream.issued))


async def test_spec088_a_confidential_client_proves_itself_to_revoke(world: World) -> None:
    client, tokens = await logged_in(world, token_endpoint_auth_method="client_secret_post")
    proper, client.client_secret = client.client_secret, "wrong"
    assert refused(await client.revoke(tokens["access_token"])) == (401, "invalid_client")
    assert (await client.call(tokens["access_token"])).status_code == 200
    client.client_secret = proper
    assert (await client.revoke(tokens["access_token"])).status_code == 200
    assert (await client.call(tokens["access_token"])).status_code == 401
