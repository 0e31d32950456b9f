"""Client id metadata documents in a login, line by line."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from mintage.clients.fetch_cache import FAILURE_SECONDS, MIN_SECONDS
from mintage.testing.oauth_client import OAuthClient
from tests.support.client_hosts import (
    REDIRECT_URI,
    ClientHost,
    Names,
    client_host,
    fetch_from_tests,
)
from tests.support.client_keys import claims_of, form_of, jwks, key, sign
from tests.support.world import World

PAGE = Path(__file__).parents[2] / "docs/how-to/choose-how-clients-register.md"


@pytest.fixture
def parts() -> dict[str, Any]:
    return {"fetch": fetch_from_tests(Names())}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ClientHost]:
    async with client_host(tmp_path) as one:
        yield one


def client_at(world: World, url: str, redirect_uri: str = REDIRECT_URI) -> OAuthClient:
    return OAuthClient(world.issuer, world.http, world.resource, url, redirect_uri=redirect_uri)


async def asked(world: World, url: str, redirect_uri: str = REDIRECT_URI) -> httpx2.Response:
    return await world.http.get(client_at(world, url, redirect_uri).authorization().url)


@pytest.mark.parametrize("left_out", ["client_id", "client_name", "redirect_uris"])
async def test_spec044_three_members_must_be_there(
    world: World, host: ClientHost, left_out: str
) -> None:
    members: dict[str, Any] = {left_out: None}
    answer = await asked(world, host.publish(**members))
    assert answer.status_code == 401
    assert left_out in answer.text


@pytest.mark.parametrize(
    "members",
    [
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"client_secret": "a-secret-for-all-to-see"},
        {"client_secret_expires_at": 0},
    ],
)
async def test_spec048_a_document_that_shares_a_secret_is_refused(
    world: World, host: ClientHost, members: dict[str, Any]
) -> None:
    answer = await asked(world, host.publish(**members))
    assert answer.status_code == 401
    assert "secret" in answer.text
    assert "for-all-to-see" not in answer.text


async def test_spec049_a_client_with_keys_proves_itself_each_time(
    world: World, host: ClientHost
) -> None:
    url = host.publish(token_endpoint_auth_method="private_key_jwt", jwks=jwks(key()))
    client = client_at(world, url)

    def proof(jti: str) -> dict[str, str]:
        claims = claims_of(url, now=world.clock(), issuer=world.issuer, jti=jti)
        return form_of(sign(claims))

    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    bare = await client.redeem(login, code)
    assert (bare.status_code, bare.json()["error"]) == (401, "invalid_client")
    tokens = (await client.redeem(login, code, **proof("1"))).raise_for_status().json()
    bare = await client.refresh(tokens["refresh_token"])
    assert (bare.status_code, bare.json()["error"]) == (401, "invalid_client")
    assert (await client.refresh(tokens["refresh_token"], **proof("2"))).status_code == 200


async def test_spec050_a_document_is_kept_as_long_as_its_host_says(
    world: World, host: ClientHost
) -> None:
    url = host.publish(headers={"cache-control": "max-age=100"})
    for seconds, fetched in ((0, 1), (99, 1), (1, 2)):
        world.clock.advance(seconds)
        assert (await asked(world, url)).status_code == 200
        assert len(host.seen) == fetched


@pytest.mark.parametrize(
    "bad",
    [
        Response(status_code=500, headers={"cache-control": "max-age=86400"}),
        Response(status_code=404, headers={"cache-control": "max-age=86400"}),
        Response(
            json.dumps({"client_id": "https://other.example/"}),
            media_type="application/json",
            headers={"cache-control": "max-age=86400"},
        ),
    ],
)
async def test_spec050_what_is_no_good_is_never_kept_for_as_long_as_its_host_says(
    world: World, host: ClientHost, bad: Response
) -> None:
    """It is remembered for some seconds, so that nobody has us knock a thousand times."""
    host.pages["/client.json"] = bad
    assert (await asked(world, host.url())).status_code in (401, 503)
    url = host.publish()
    world.clock.advance(FAILURE_SECONDS)
    assert (await asked(world, url)).status_code == 200


@pytest.mark.parametrize("status", [404, 500])
async def test_spec051_without_a_document_there_is_no_login(
    world: World, host: ClientHost, status: int
) -> None:
    host.pages["/client.json"] = Response(status_code=status)
    answer = await asked(world, host.url())
    assert answer.status_code in (401, 503)
    assert "location" not in answer.headers
    assert "<form" not in answer.text
    assert world.upstream.queries == []


@pytest.mark.parametrize(
    "change",
    [
        {"client_name": "Another name"},
        {"redirect_uris": ["https://elsewhere.example/cb"]},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(key())},
    ],
)
async def test_spec053_after_a_change_the_person_is_asked_with_what_is_there_now(
    world: World, host: ClientHost, change: dict[str, Any]
) -> None:
    """Nothing of an earlier consent counts; nor does a redirect URI that is gone."""
    url = host.publish()
    async with world.browser() as browser:
        await client_at(world, url).log_in(browser)
        host.publish(**change)
        world.clock.advance(MIN_SECONDS * 60)
        uri = change.get("redirect_uris", [REDIRECT_URI])[0]
        page = await browser.open(client_at(world, url, uri).authorization().url)
    assert page.form().fields["request"]
    assert change.get("client_name", "A published client") in page.text
    assert uri in page.text
    if uri != REDIRECT_URI:
        assert (await asked(world, url)).status_code == 400


class TestAHostThatRefusesPrograms:
    """A protection against bots answers 403 to servers, and the document to people."""

    async def test_is_named_on_the_page_and_in_the_log(
        self, world: World, host: ClientHost, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.pages["/client.json"] = Response(
            "<h1>Just a moment…</h1>", 403, media_type="text/html"
        )
        answer = await asked(world, host.url())
        words = "its host answered 403 instead of 200"
        assert answer.status_code == 401
        assert words in answer.text
        assert "try again" not in answer.text
        (line,) = [each.getMessage() for each in caplog.records if words in each.getMessage()]
        assert "GET /authorize" in line
        assert "invalid_client" in line
        assert words in PAGE.read_text(encoding="utf-8"), "the manual quotes it"


class TestTheWayOut:
    """The manual's: a client in the configuration, by the URL of its document."""

    @pytest.fixture
    def overrides(self, host: ClientHost) -> dict[str, Any]:
        return {
            "client": [
                {
                    "client_id": host.url(),
                    "name": "A client",
                    "redirect_uris": [REDIRECT_URI],
                }
            ]
        }

    async def test_a_client_of_the_configuration_is_not_fetched(
        self, world: World, host: ClientHost
    ) -> None:
        host.pages["/client.json"] = Response(status_code=403)
        async with world.browser() as browser:
            tokens = await client_at(world, host.url()).tokens(browser)
        assert tokens["access_token"]
        assert host.seen == []
