"""What end-to-end tests stand on: a provider, a backend and Mintage, on real sockets."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mintage.app import Mintage, Running
from mintage.network.tls import trusted
from mintage.serving.places import Places
from mintage.serving.protocol import protocols
from mintage.serving.settings import ServerSection
from mintage.settings.load import Config, parse
from mintage.stores.memory import MemoryStore
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from mintage.testing.serving import serving

SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"


@dataclass
class Backend:
    """What a protected server saw."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return JSONResponse({"headers": dict(request.headers)})


@dataclass
class World:
    """All parts of one running system."""

    clock: ManualClock
    upstream: FakeUpstream
    backend: Backend
    config: Config
    app: Mintage
    running: Running
    http: httpx2.AsyncClient
    port: int
    """Where the server itself listens, whatever its issuer says."""

    @property
    def issuer(self) -> str:
        return self.config.issuer

    @property
    def resource(self) -> str:
        return f"{self.issuer}/mcp"

    def browser(self) -> Browser:
        return Browser(stop_at=(REDIRECT_URI, "https://"))

    async def client(self, **metadata: Any) -> OAuthClient:
        """A freshly registered client."""
        client = OAuthClient(self.issuer, self.http, self.resource)
        return await client.register(**metadata)

    def cookies_of(self, browser: Browser) -> dict[str, str]:
        """A ``Cookie`` header with all that *browser* holds for us."""
        return {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}

    def stored(self) -> int:
        """How many records the store holds."""
        assert isinstance(self.running.store, MemoryStore)
        return len(self.running.store)


THE_BACKEND = "the backend of the world"
"""What a resource among the overrides says for it: its address is not known by then."""


def settings(issuer: str, upstream: FakeUpstream, backend: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {
            "issuer": upstream.issuer,
            "client_id": upstream.client_id,
            "client_secret": "env:UPSTREAM_SECRET",
        },
        "resource": [
            {"path": "/mcp", "backend": backend, "scopes": ["tools"], "credential": "upstream"},
            {"path": "/other", "backend": backend, "scopes": ["other"], "credential": "none"},
        ],
    }


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(3_000_000_000)  # ahead of the clocks of engines that have their own


@pytest.fixture
async def upstream(clock: ManualClock) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(clock).running() as running:
        yield running


every_store = pytest.mark.parametrize(
    "world_store",
    [
        "memory",
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ],
    indirect=True,
)
"""A test or a class that must hold on each of them."""


@pytest.fixture
def world_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of the world's store: in memory, unless a test asks for `every_store`."""
    match getattr(request, "param", "memory"):
        case "memory":
            return "memory://"
        case "sqlite":
            return f"sqlite://{tmp_path}/mintage.db"
        case fixture:
            url: str = request.getfixturevalue(fixture)
            return url


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Settings that a test module wants otherwise: override this fixture."""
    return {}


@pytest.fixture
def parts() -> dict[str, Any]:
    """Parts of the application that a test module brings itself: override this fixture."""
    return {}


@pytest.fixture
async def world(
    clock: ManualClock,
    upstream: FakeUpstream,
    overrides: dict[str, Any],
    parts: dict[str, Any],
    world_store: str,
    tmp_path: Path,
) -> AsyncIterator[World]:
    chosen = {"store": world_store} | overrides
    async with opened_world(clock, upstream, tmp_path, chosen, parts) as world:
        yield world


@asynccontextmanager
async def opened_world(
    clock: ManualClock,
    upstream: FakeUpstream,
    directory: Path,
    overrides: dict[str, Any],
    parts: dict[str, Any],
    *,
    port: int | None = None,
) -> AsyncIterator[World]:
    """All of it, running, with *overrides* among the settings. *port*: None for any."""
    async with AsyncExitStack() as stack:
        backend_port, port = free_port(), port or free_port()
        backend = Backend(f"http://127.0.0.1:{backend_port}")
        url = f"{backend.url}/mcp"
        data = settings(f"http://127.0.0.1:{port}", upstream, url) | overrides
        for resource in data["resource"]:
            if resource.get("backend") == THE_BACKEND:
                resource["backend"] = url
        config = parse(
            data,
            base=directory,
            environ=os.environ | {"SECRET": SECRET, "UPSTREAM_SECRET": upstream.client_secret},
        )
        app = Mintage(config, clock=clock, **parts)
        running = await stack.enter_async_context(app.running())
        backend_app = Starlette(
            routes=[Route("/{path:path}", backend.__call__, methods=["GET", "POST"])]
        )
        servers = (_server(app, port=port), _server(backend_app, port=backend_port))
        await stack.enter_async_context(serving(*servers))
        http = await stack.enter_async_context(
            httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30)
        )
        yield World(clock, upstream, backend, config, app, running, http, port)


@asynccontextmanager
async def at_socket(app: Any, path: Path) -> AsyncIterator[None]:
    """*app*, served at the Unix socket *path* as well."""
    async with serving(_server(app, uds=str(path))):
        yield


@asynccontextmanager
async def as_served(app: Any) -> AsyncIterator[str]:
    """*app*, by the protocol of `mintage serve` as well: the origin where it is."""
    bounds = ServerSection()
    places = Places(
        total=bounds.max_connections,
        per_address=bounds.max_connections_per_address,
        trusts=lambda _: False,
    )
    http, ws = protocols(bounds, places)
    port = free_port()
    async with serving(_server(app, port=port, http=http, ws=ws)):
        yield f"http://127.0.0.1:{port}"


def _server(app: Any, **where: Any) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            **where,
            log_config=None,
            lifespan="off",
            proxy_headers=False,  # as `mintage serve` has it: we read them ourselves
            timeout_graceful_shutdown=1,
        )
    )
