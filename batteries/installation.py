"""Two replicas of Mintage behind a balancer, whose settings, secrets, clocks and store change."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import Receive, Scope, Send

from mintage.app import Mintage
from mintage.config import parse
from mintage.stores.copying import copy
from mintage.stores.opening import open_store
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving

PATHS: Final = ("/notes", "/files")
SCOPES: Final = {"/notes": ("read", "write"), "/files": ("read",)}
UPSTREAM_LIFETIME: Final = 4  # seconds: renewals are a part of the traffic


@dataclass
class Settings:
    """What an operator can change. A copy of it is what a replica was started with."""

    store: str
    secrets: tuple[str, ...]
    upstream: FakeUpstream
    upstream_secret: str
    paths: tuple[str, ...] = PATHS
    scopes: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(SCOPES))


@dataclass
class Replica:
    """*offset*: seconds by which its clock is ahead. *busy*: requests under way."""

    offset: float = 0.0
    app: Mintage | None = None
    busy: int = 0
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    def clock(self) -> float:
        return time.time() + self.offset

    async def start(self, settings: Settings, issuer: str, backend: str) -> None:
        app = Mintage(_config(settings, issuer, backend), clock=self.clock, steady=time.monotonic)
        await self._open.enter_async_context(app.running())
        self.app = app

    async def stop(self) -> None:
        """Take no more requests, finish those under way, and stop."""
        running, self.app = self.app, None
        if running is None:
            return
        running.drain()
        while self.busy:  # noqa: ASYNC110  (requests end by themselves)
            await asyncio.sleep(0.01)
        await self._open.aclose()


def _config(settings: Settings, issuer: str, backend: str) -> Any:
    return parse(
        {
            "issuer": issuer,
            "store": settings.store,
            "secret": "env:SECRET",
            "upstream": {
                "issuer": settings.upstream.issuer,
                "client_id": settings.upstream.client_id,
                "client_secret": "env:UPSTREAM_SECRET",
            },
            "resource": [
                {
                    "path": path,
                    "backend": f"{backend}{path}",
                    "scopes": list(settings.scopes[path]),
                    "credential": "upstream",
                }
                for path in settings.paths
            ],
        },
        base=Path(),
        environ={
            "SECRET": "\n".join(settings.secrets),
            "UPSTREAM_SECRET": settings.upstream_secret,
        },
    )


@dataclass
class Installation:
    """*settings* are those that the next start uses. An ASGI app: the balancer."""

    settings: Settings
    other_upstream: FakeUpstream
    issuer: str
    backend: str
    dice: random.Random
    replicas: tuple[Replica, Replica] = field(default_factory=lambda: (Replica(), Replica()))
    _moves: int = 0
    _first_store: str = field(init=False)

    def __post_init__(self) -> None:
        self._first_store = self.settings.store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        up = [replica for replica in self.replicas if replica.app is not None]
        if not up:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            return await send({"type": "http.response.body", "body": b""})
        replica = self.dice.choice(up)
        assert replica.app is not None
        replica.busy += 1
        try:
            return await replica.app(scope, receive, send)
        finally:
            replica.busy -= 1

    async def move(self) -> None:
        """Stop, copy all records to an empty store of the same kind, and start there."""
        await self.stop()
        source = await open_store(self.settings.store, clock=time.time)
        self._moves += 1
        self.settings.store = _beside(self._first_store, f"moved{self._moves}")
        target = await open_store(self.settings.store, clock=time.time)
        try:
            await copy(source, target)
        finally:
            await source.close()
            await target.close()
        await self.restart()

    async def restart(self, *which: int) -> None:
        """Restart replicas, one after the other, with the settings as they are now."""
        for number in which or (0, 1):
            replica = self.replicas[number]
            await replica.stop()
            await replica.start(self.settings, self.issuer, self.backend)

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()


def _beside(store: str, name: str) -> str:
    """The URL of an empty store on the engine of *store*."""
    if store.startswith("sqlite://"):
        return f"{store}.{name}"
    return f"{store}?schema={name}" if store.startswith("postgresql") else f"{store}?prefix={name}"


def new_secret() -> str:
    return secrets.token_urlsafe(32)


@asynccontextmanager
async def installation(store: str, dice: random.Random) -> AsyncIterator[Installation]:
    """All of it running: two providers, a backend, a balancer and two replicas on *store*."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                FakeUpstream(time.time, lifetime=UPSTREAM_LIFETIME).running()
            )
            for _ in range(2)
        ]
        port, backend_port = free_port(), free_port()
        settings = Settings(store, (new_secret(),), first, first.client_secret)
        house = Installation(
            settings, second, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{backend_port}", dice
        )

        async def backend(_: Scope, __: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

        await house.restart()
        stack.push_async_callback(house.stop)
        await stack.enter_async_context(
            serving(_server(house, port), _server(backend, backend_port))
        )
        yield house


def _server(app: Any, port: int) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_config=None,
            lifespan="off",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
