"""The admin API of a running server, called without a socket."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from mintage.admin.activity import Activity
from mintage.admin.site import AdminSite, open_site
from tests.support.world import World

TOKEN = "d1yT5mQ0xNf8bWcR2vKzHs7Lg4uJpEa9oXi3"


@pytest.fixture
def overrides(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)
    return {"admin": {"token": "env:ADMIN_TOKEN"}}


@pytest.fixture
def site(world: World) -> AdminSite:
    activity = Activity(world.clock)
    world.running.events.attach(activity)
    return open_site(
        world.config,
        world.app.current,
        activity,
        clock=world.clock,
        steady=world.clock,
        random_bytes=secrets.token_bytes,
    )


def calling(site: AdminSite, **headers: str) -> httpx2.AsyncClient:
    """A caller of *site* who sends *headers*."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=site),
        base_url="http://127.0.0.1:8081",
        headers=headers,
        trust_env=False,
    )


@pytest.fixture
async def admin(site: AdminSite) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller with the token."""
    async with calling(site, authorization=f"Bearer {TOKEN}") as client:
        yield client
