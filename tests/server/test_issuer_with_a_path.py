"""An issuer with a path: discovery wherever RFC 8414 and OpenID look for it, and a login."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of, approve
from tests.server.ways_back import told
from tests.support.world import World

HOST = "https://auth.example.com"
ISSUER = f"{HOST}/tenants/one"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"issuer": ISSUER}


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=world.app)
    async with httpx2.AsyncClient(verify=trusted(), transport=transport, trust_env=False) as http:
        yield http


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/.well-known/oauth-authorization-server/tenants/one",
        f"{HOST}/.well-known/openid-configuration/tenants/one",
        f"{ISSUER}/.well-known/openid-configuration",
    ],
)
async def test_spec002_spec003_discovery_is_where_each_rfc_puts_it(
    http: httpx2.AsyncClient, url: str
) -> None:
    answer = await http.get(url)
    assert answer.status_code == 200
    document = answer.json()
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    endpoints = [value for name, value in document.items() if name.endswith("_endpoint")]
    assert endpoints
    assert all(endpoint.startswith(f"{ISSUER}/") for endpoint in endpoints)


async def test_spec002_no_other_issuer_answers_at_the_root(http: httpx2.AsyncClient) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        assert (await http.get(f"{HOST}/.well-known/{name}")).status_code == 404


async def test_spec002_spec015_discovery_leads_through_a_whole_login(
    world: World, http: httpx2.AsyncClient
) -> None:
    refused = await http.get(f"{ISSUER}/mcp")
    challenge = refused.headers["www-authenticate"]
    url = challenge.partition('resource_metadata="')[2].partition('"')[0]
    assert url == f"{HOST}/.well-known/oauth-protected-resource/tenants/one/mcp"
    document = (await http.get(url)).json()
    assert (document["resource"], document["authorization_servers"]) == (f"{ISSUER}/mcp", [ISSUER])
    client = await OAuthClient(ISSUER, http, document["resource"]).register()
    inside = httpx2.ASGITransport(app=world.app)
    async with Browser(stop_at=(REDIRECT_URI,), mounts={HOST: inside}) as browser:
        login = client.authorization()
        answer = answer_of(await approve(browser, login.url))
    assert answer["iss"] == ISSUER
    tokens = (await client.redeem(login, answer["code"])).json()
    assert (await client.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("spelling", ["HTTPS://AUTH.example.com", "https://Auth.Example.COM"])
async def test_spec012_scheme_and_host_of_a_resource_are_read_in_any_case(
    world: World, http: httpx2.AsyncClient, spelling: str
) -> None:
    client = await OAuthClient(ISSUER, http, f"{spelling}/tenants/one/mcp").register()
    inside = httpx2.ASGITransport(app=world.app)
    async with Browser(stop_at=(REDIRECT_URI,), mounts={HOST: inside}) as browser:
        login = client.authorization()
        code = answer_of(await approve(browser, login.url))["code"]
    tokens = (await client.redeem(login, code, resource=client.resource)).json()
    claims = world.running.tokens.read_any(tokens["access_token"])[1]
    assert claims.aud == f"{ISSUER}/mcp", "the canonical name, without a slash at its end"
    wrong = await http.get(client.authorization(resource=f"{ISSUER}/MCP").url)
    assert told(wrong)["error"] == "invalid_target"
