"""A client with a page of its own at its redirect URI."""

from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient
from mintage.testing.serving import serving
from tests.support.world import World


@pytest.fixture
async def landing_client(world: World) -> AsyncIterator[OAuthClient]:
    """A client whose redirect URI is a page that is really there."""
    port = free_port()
    app = Starlette(routes=[Route("/callback", lambda _: PlainTextResponse("welcome back"))])
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        client = OAuthClient(
            world.issuer,
            world.http,
            world.resource,
            redirect_uri=f"http://127.0.0.1:{port}/callback",
        )
        yield await client.register(client_name="The Editor")
