"""What each answer of the authorization server must be (MCP, authorization), line by line."""

from typing import Any

import pytest

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, answer_of, approve
from tests.server.ways_back import way_back
from tests.support.world import World


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("invalid_scope", "server_error"),
        ("unheard_of", "server_error"),
    ],
)
async def test_spec004_an_error_from_the_provider_goes_on_under_our_name(
    world: World, said: str, error: str
) -> None:
    client = await world.client()
    world.upstream.error = said
    async with world.browser() as browser:
        login = client.authorization()
        answer = answer_of(await approve(browser, login.url))
    assert (answer["error"], answer["iss"], answer["state"]) == (error, world.issuer, login.state)


async def test_spec006_an_access_token_lasts_an_hour_where_nothing_else_is_said(
    world: World,
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    assert tokens["expires_in"] == 3600
    world.clock.advance(3599)
    assert (await client.call(tokens["access_token"])).status_code == 200
    world.clock.advance(1 + 5)  # the leeway for clocks that differ
    assert (await client.call(tokens["access_token"])).status_code == 401


class TestLifetime:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"tokens": {"access_token_lifetime": 60}}

    async def test_spec006_or_as_short_as_the_operator_wants(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert tokens["expires_in"] == 60
        world.clock.advance(60 + 5)
        assert (await client.call(tokens["access_token"])).status_code == 401


async def test_spec011_nobody_is_sent_to_a_client_before_a_person_has_answered(
    world: World,
) -> None:
    """A good request alone moves no browser, wherever its client registered."""
    uri = "https://somewhere.example/cb"
    client = await world.client(redirect_uris=[uri])
    client.redirect_uri = uri
    answer = await world.http.get(client.authorization().url)
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert "http-equiv" not in answer.text
    async with Browser(stop_at=("https://",)) as browser:
        for decision, told in (("approve", "code"), ("deny", "error")):
            page = await browser.open(client.authorization().url)
            landed = await browser.submit(page, {"decision": decision})
            assert landed.url.startswith(f"{uri}?{told}=")


async def test_spec011_errors_at_consent_and_callback_stay_here(world: World) -> None:
    for method, path in (
        ("POST", "/consent"),
        ("GET", "/callback?state=x&code=y"),
        ("GET", "/callback?error=access_denied&state=x&redirect_uri=https://evil.example/"),
    ):
        answer = await world.http.request(
            method, world.issuer + path, data={"request": "x", "redirect_uri": "https://e.example"}
        )
        assert answer.status_code in (400, 403)
        assert "location" not in answer.headers
        assert "http-equiv" not in answer.text


async def test_spec013_a_refresh_token_needs_no_offline_access(world: World) -> None:
    """It follows from what the client registered; and the word is no scope of this server."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser, scope="tools")
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200
    metadata = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
    assert "offline_access" not in metadata.json()["scopes_supported"]


async def test_spec024_a_malformed_authorization_request_is_400(world: World) -> None:
    client = await world.client()
    good = client.authorization().url
    for wrong in (f"{good}&client_id=x", f"{world.issuer}/authorize", f"{good}&redirect_uri=%ff"):
        answer = await world.http.get(wrong)
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/html")
    landed = await world.http.get(client.authorization(code_challenge=None).url)
    assert way_back(landed).startswith(f"{REDIRECT_URI}?error=invalid_request")
