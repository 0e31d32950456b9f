"""An application with the login around it, on a real socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp

from mintage.app import Mintage
from mintage.integrations.asgi import Login
from mintage.network.tls import trusted
from mintage.settings.load import parse
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from mintage.testing.serving import serving
from tests.support.world import SECRET, settings


@dataclass
class House:
    """A running application, and the way into it."""

    login: Login
    http: httpx2.AsyncClient
    clock: ManualClock
    upstream: FakeUpstream
    origin: str  # where it listens; the issuer may have a path

    @property
    def issuer(self) -> str:
        return self.login.mintage.config.issuer

    async def log_in(self, path: str = "/api", **parameters: str) -> "Session":
        """A client that has just logged in for the resource at *path*."""
        client = OAuthClient(self.issuer, self.http, self.issuer + path)
        await client.register()
        async with Browser(stop_at=(REDIRECT_URI, "https://")) as browser:
            return Session(self, client, await client.tokens(browser, **parameters))


@dataclass
class Session:
    house: House
    client: OAuthClient
    tokens: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens['access_token']}"}

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.house.http.get(
            f"{self.house.origin}{path}", headers={**self.headers, **headers}
        )


Build: TypeAlias = Callable[[Any], ASGIApp]
Open: TypeAlias = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def house(clock: ManualClock, upstream: FakeUpstream, tmp_path: Path) -> Open:
    """``async with house(build, …)``: what *build* makes of a login, served with its lifespan."""

    @asynccontextmanager
    async def opened(
        build: Build,
        *,
        kind: type[Login] = Login,
        base: str = "",
        server: dict[str, Any] | None = None,
        **more: Any,
    ) -> AsyncIterator[House]:
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        data = settings(origin + base, upstream, origin) | {"resource": [API]} | more
        environ = {"SECRET": SECRET, "UPSTREAM_SECRET": upstream.client_secret}
        config = parse(data, base=tmp_path, environ=environ)
        login = kind.of(Mintage(config, clock=clock))
        uvicorn_config = uvicorn.Config(
            build(login),
            host="127.0.0.1",
            port=port,
            log_config=None,
            lifespan="on",
            **server or {},
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(uvicorn.Server(uvicorn_config)))
            http = await stack.enter_async_context(
                httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30)
            )
            yield House(login, http, clock, upstream, origin)

    return opened


API: dict[str, Any] = {
    "path": "/api",
    "scopes": ["read"],
    "optional_scopes": ["write", "admin"],
    "rule": [{"path": "/admin", "scopes": ["admin"]}],
}
