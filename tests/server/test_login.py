"""One login from its first request to its last: what each step answers when all is well."""

from urllib.parse import urlsplit

import pytest

from mintage.testing.oauth_client import answer_of
from tests.support.world import World


async def test_spec001_spec019_the_whole_way(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    assert tokens["token_type"] == "Bearer"
    assert tokens["scope"] == "tools"
    assert tokens["expires_in"] == 3600
    answer = await client.call(tokens["access_token"])
    assert answer.status_code == 200
    seen = answer.json()["headers"]
    assert seen["x-forwarded-user"] == "alice"
    assert world.upstream.is_live(seen["authorization"].removeprefix("Bearer "))


async def test_no_upstream_token_reaches_the_client(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    renewed = (await client.refresh(tokens["refresh_token"])).json()
    shown = str(tokens) + str(renewed)
    assert world.upstream.issued
    assert not [token for token in world.upstream.issued if token in shown]


async def test_spec004_the_answer_names_its_issuer_and_returns_the_state(world: World) -> None:
    """RFC 9207 §2, RFC 6749 §4.1.2."""
    client = await world.client()
    async with world.browser() as browser:
        login = client.authorization()
        page = await browser.submit(await browser.open(login.url), {"decision": "approve"})
    answer = answer_of(page)
    assert answer["iss"] == world.issuer
    assert answer["state"] == login.state


async def test_spec004_denial_goes_back_to_the_client(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        login = client.authorization()
        page = await browser.submit(await browser.open(login.url), {"decision": "deny"})
    answer = answer_of(page)
    assert (answer["error"], answer["state"], answer["iss"]) == (
        "access_denied",
        login.state,
        world.issuer,
    )
    assert world.upstream.seen["token"] == 0
    assert world.stored() == 0


async def test_nothing_is_stored_until_the_user_has_logged_in(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        browser.stop_at = (world.upstream.issuer,)
        await browser.submit(page, {"decision": "approve"})
    assert world.stored() == 0


async def test_spec032_spec033_the_consent_page_tells_who_and_where(world: World) -> None:
    client = await world.client(client_name="The Editor")
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
    assert "The Editor" in page.text
    assert "127.0.0.1:43117" in page.text
    assert world.resource in page.text
    assert "tools" in page.text
    assert urlsplit(world.upstream.issuer).netloc in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


async def test_spec007_refresh_rotates_and_the_old_access_token_lives_on(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        first = await client.tokens(browser)
    world.clock.advance(10)
    second = (await client.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    for tokens in (first, second):
        assert (await client.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_grant(world: World, kind: str) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    seen = (await client.call(tokens["access_token"])).json()["headers"]
    answer = await client.revoke(tokens[kind])
    assert answer.status_code == 200
    assert (await client.call(tokens["access_token"])).status_code == 401
    refused = await client.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    await world.running.revoker.drain()
    assert not world.upstream.is_live(seen["authorization"].removeprefix("Bearer "))


async def test_spec089_revoking_what_is_no_token_is_fine_too(world: World) -> None:
    """RFC 7009 §2.2."""
    client = await world.client()
    assert (await client.revoke("not-a-token")).status_code == 200


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_spec001_confidential_clients_authenticate(world: World, method: str) -> None:
    client = await world.client(token_endpoint_auth_method=method)
    assert client.client_secret
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": login.verifier,
    }
    secret = client.client_secret
    if method == "client_secret_post":
        form |= {"client_id": client.client_id, "client_secret": secret}
        answer = await world.http.post(f"{world.issuer}/token", data=form)
    else:
        answer = await world.http.post(
            f"{world.issuer}/token", data=form, auth=(client.client_id, secret)
        )
    assert answer.status_code == 200


async def test_spec013_a_client_that_did_not_register_refresh_tokens_gets_none(
    world: World,
) -> None:
    client = await world.client(grant_types=["authorization_code"])
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    assert "refresh_token" not in tokens


class TestMetadata:
    @pytest.mark.parametrize(
        "path",
        ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"],
    )
    async def test_spec002_spec003_of_the_server(self, world: World, path: str) -> None:
        body = (await world.http.get(world.issuer + path)).json()
        assert body["issuer"] == world.issuer
        assert body["code_challenge_methods_supported"] == ["S256"]
        assert body["authorization_response_iss_parameter_supported"] is True
        for name, url in body.items():
            if name.endswith("_endpoint"):
                assert (await world.http.get(url)).status_code != 404, name

    async def test_spec014_spec015_spec016_of_each_resource(self, world: World) -> None:
        for path, scope in (("/mcp", "tools"), ("/other", "other")):
            refused = await world.http.get(world.issuer + path)
            assert refused.status_code == 401
            challenge = refused.headers["www-authenticate"]
            assert f'scope="{scope}"' in challenge
            assert "error=" not in challenge
            url = challenge.partition('resource_metadata="')[2].partition('"')[0]
            body = (await world.http.get(url)).json()
            assert body["resource"] == world.issuer + path
            assert body["authorization_servers"] == [world.issuer]
            assert body["scopes_supported"] == [scope]
