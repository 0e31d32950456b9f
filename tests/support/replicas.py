"""Other replicas on the store of a running world: the same code, with settings of their own."""

import copy
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from mintage.app import Mintage, Running
from mintage.app.client_denials import ClientDenials, open_denials
from mintage.settings.load import parse
from mintage.testing.oauth_client import OAuthClient
from mintage.values import Clock
from tests.support.world import SECRET, World, settings


@dataclass
class Replica:
    """*http* sends requests straight into the application of this replica."""

    running: Running
    http: httpx2.AsyncClient
    issuer: str

    def seen_by(self, client: OAuthClient) -> OAuthClient:
        """*client*, whose requests a balancer sends to this replica."""
        here = copy.copy(client)
        here.http, here.issuer = self.http, self.issuer
        return here


@asynccontextmanager
async def replica(
    world: World,
    *,
    issuer: str | None = None,
    secret: str = SECRET,
    clock: Clock | None = None,
    **overrides: Any,
) -> AsyncIterator[Replica]:
    """A replica of *world* with *overrides* among its settings."""
    issuer = issuer or world.issuer
    data = settings(issuer, world.upstream, f"{world.backend.url}/mcp")
    config = parse(
        data | {"store": world.config.store} | overrides,
        base=Path(),
        environ={"SECRET": secret, "UPSTREAM_SECRET": world.upstream.client_secret},
    )
    app = Mintage(config, clock=clock or world.clock)
    async with app.running() as running:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as http:
            yield Replica(running, http, issuer)


def elsewhere(world: World) -> ClientDenials:
    """The denied clients of *world*, as another process on its store has them."""
    running = world.running
    return open_denials(
        world.config,
        running.vault,
        running.store,
        running.secret_needs.client_ids,
        clock=world.clock,
        random_bytes=secrets.token_bytes,
    )
