"""Paths with and without a slash at their end: clients, servers and documents differ in it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.raw_backend import access_token
from tests.support.world import World


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


@pytest.fixture
async def overrides() -> AsyncIterator[dict[str, Any]]:
    """Two servers behind the gateway that insist on one spelling, as routers of today do."""
    port = free_port()
    app = Starlette(
        routes=[
            Route("/with/", echo, methods=["POST"]),
            Route("/without", echo, methods=["POST"]),
        ]
    )
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        yield {
            "resource": [
                {"path": path, "backend": f"http://127.0.0.1:{port}{path}", "scopes": ["tools"]}
                for path in ("/with", "/without")
            ]
        }


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ["/with", "/without"])
async def test_a_backend_that_insists_is_reached_either_way(
    world: World, path: str, slash: str
) -> None:
    """307 keeps method and body; its Location is ours, for nobody follows one to elsewhere."""
    token = await access_token(world, path)
    answer = await world.http.post(
        world.issuer + path + slash,
        content=b"a call",
        headers={"authorization": f"Bearer {token}"},
        follow_redirects=True,
    )
    assert (answer.status_code, answer.content) == (200, b"a call")
    assert len(answer.history) <= 1
    for redirect in answer.history:
        assert redirect.status_code == 307
        assert redirect.headers["location"].startswith(f"{world.issuer}{path}")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_spec095_metadata_names_the_url_that_it_was_found_by(
    world: World, slash: str
) -> None:
    """RFC 9728 §3.3: strict clients compare "resource" with the URL that their user typed."""
    resource = f"{world.issuer}/with{slash}"
    refused = await world.http.post(resource)
    challenge = refused.headers["www-authenticate"]
    url = challenge.partition('resource_metadata="')[2].partition('"')[0]
    assert url == f"{world.issuer}/.well-known/oauth-protected-resource/with{slash}"
    document = (await world.http.get(url)).json()
    assert document["resource"] == resource
    assert document["authorization_servers"] == [world.issuer]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_token_for_either_spelling_is_a_token_for_the_resource(
    world: World, slash: str
) -> None:
    client = await world.client()
    client.resource = f"{world.issuer}/with{slash}"
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    tokens = (await client.redeem(login, code, resource=client.resource)).json()
    renewed = await client.refresh(tokens["refresh_token"], resource=f"{world.issuer}/with")
    for token in (tokens["access_token"], renewed.json()["access_token"]):
        for spelling in ("/with", "/with/"):
            answer = await world.http.post(
                world.issuer + spelling, headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code in (200, 307)
