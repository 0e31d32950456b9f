"""Pages of other sites, as MCP Inspector is one: what they may call, and what they may not."""

import httpx2
import pytest
from playwright.async_api import Browser
from starlette.types import Message

from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from mintage.web.cors import for_any_origin
from tests.support.world import World

INSPECTOR = {"origin": "http://localhost:6274"}
# What a page's script may read or call.
FOR_SCRIPTS = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/token",
    "/register",
    "/revoke",
    "/mcp",
    "/mcp/messages",
    "/nothing",
]
# What only a person's browser is sent to.
FOR_PEOPLE = ["/authorize", "/consent", "/callback"]


async def preflight(world: World, path: str, headers: str) -> httpx2.Response:
    return await world.http.options(
        world.issuer + path,
        headers=INSPECTOR
        | {"access-control-request-method": "POST", "access-control-request-headers": headers},
    )


def listed(answer: httpx2.Response, name: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(name, "").split(",")}


@pytest.mark.parametrize("path", FOR_SCRIPTS)
async def test_a_preflight_needs_no_token(world: World, path: str) -> None:
    """It can't carry one: the browser asks before the script's request goes out."""
    asked = "authorization, content-type, mcp-protocol-version, mcp-session-id"
    answer = await preflight(world, path, asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert set(asked.split(", ")) <= listed(answer, "access-control-allow-headers")
    assert {"get", "post", "delete"} <= listed(answer, "access-control-allow-methods")
    assert int(answer.headers["access-control-max-age"]) > 0
    assert world.backend.requests == [], "the gateway answers for its backends"


@pytest.mark.parametrize("path", ["/token", "/mcp"])
async def test_each_preflight_has_a_reference_of_its_own(world: World, path: str) -> None:
    answers = [await preflight(world, path, "authorization") for _ in range(2)]
    references = [answer.headers.get_list("x-request-id") for answer in answers]
    assert [len(each) for each in references] == [1, 1]
    assert references[0] != references[1]


@pytest.mark.parametrize("path", FOR_SCRIPTS)
async def test_every_answer_can_be_read_refusals_too(world: World, path: str) -> None:
    answer = await world.http.get(world.issuer + path, headers=INSPECTOR)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    exposed = listed(answer, "access-control-expose-headers")
    assert {"www-authenticate", "mcp-session-id"} <= exposed


@pytest.mark.parametrize("path", FOR_PEOPLE)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_spec062_what_people_see_is_no_business_of_scripts(
    world: World, path: str, method: str
) -> None:
    answer = await world.http.request(
        method, world.issuer + path, headers=INSPECTOR | {"access-control-request-method": "POST"}
    )
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.status_code >= 400


async def test_an_options_request_that_is_no_preflight_goes_on(world: World) -> None:
    """A backend may have an answer of its own to it; it takes a token like all else."""
    assert (await world.http.options(world.resource)).status_code == 401
    assert (await world.http.options(f"{world.issuer}/token")).status_code == 405


async def test_a_backends_own_word_on_origins_is_replaced() -> None:
    """Two values would be an error to every browser."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [
        (b"access-control-allow-origin", b"http://localhost:6274"),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-one"),
        (b"content-type", b"text/plain"),
    ]
    await for_any_origin(send)({"type": "http.response.start", "status": 200, "headers": headers})
    names = [name for name, _ in sent[0]["headers"]]
    assert names == [
        b"content-type",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
    ]
    assert dict(sent[0]["headers"])[b"access-control-allow-origin"] == b"*"


DISCOVER_AND_REGISTER = """async ([resource, redirectUri]) => {
  const headers = { 'content-type': 'application/json', 'mcp-protocol-version': '2025-11-25' }
  const refused = await fetch(resource, { method: 'POST', headers, body: '{}' })
  const challenge = refused.headers.get('www-authenticate')
  const [, url] = challenge.match(/resource_metadata="([^"]+)"/)
  const found = await (await fetch(url, { headers })).json()
  const well_known = `${found.authorization_servers[0]}/.well-known/oauth-authorization-server`
  const server = await (await fetch(well_known, { headers })).json()
  const body = JSON.stringify({
    redirect_uris: [redirectUri], token_endpoint_auth_method: 'none', client_name: 'Inspector',
  })
  const registered = await fetch(server.registration_endpoint, { method: 'POST', headers, body })
  return { server, status: refused.status, client: await registered.json() }
}"""

REDEEM_AND_CALL = """async ([tokenEndpoint, form, resource]) => {
  const answer = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams(form) })
  const { access_token } = await answer.json()
  const called = await fetch(resource, { headers: {
    authorization: `Bearer ${access_token}`, 'mcp-session-id': '1', 'mcp-param-region': 'here',
  } })
  return { status: called.status, body: await called.json() }
}"""

PEEK = """async (url) => fetch(url).then(() => 'read', (error) => error.name)"""


async def test_a_script_of_another_origin_goes_the_whole_way(
    world: World, browser_of_all: Browser
) -> None:
    """What MCP Inspector does, in a real browser; only the consent page is closed to it."""
    async with await browser_of_all.new_page() as page:
        await page.goto(f"{world.backend.url}/inspector")
        found = await page.evaluate(DISCOVER_AND_REGISTER, [world.resource, REDIRECT_URI])
        assert found["status"] == 401
        client = OAuthClient(world.issuer, world.http, world.resource, found["client"]["client_id"])
        async with world.browser() as person:
            login, code = await client.log_in(person)
        form = {
            "grant_type": "authorization_code",
            "client_id": client.client_id,
            "code": code,
            "code_verifier": login.verifier,
            "redirect_uri": REDIRECT_URI,
        }
        called = await page.evaluate(
            REDEEM_AND_CALL, [found["server"]["token_endpoint"], form, world.resource]
        )
        assert called["status"] == 200
        assert called["body"]["headers"]["mcp-param-region"] == "here"
        assert await page.evaluate(PEEK, client.authorization().url) == "TypeError"
