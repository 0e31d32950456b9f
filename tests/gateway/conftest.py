"""The gateway of these tests: one resource on the raw backend, and one that is down."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mintage.testing.nanoidp import free_port
from tests.support.raw_backend import RawBackend
from tests.support.world import World, at_socket


@pytest.fixture
def overrides(raw: RawBackend) -> dict[str, Any]:
    down = f"http://127.0.0.1:{free_port()}"
    backends = {"/mcp": f"http://127.0.0.1:{raw.port}/base", "/down": down}
    return {
        "resource": [
            {"path": path, "backend": url, "scopes": ["tools"], "credential": "identity"}
            for path, url in backends.items()
        ]
    }


@pytest.fixture(params=["socket", "port"])
async def asked_at(
    request: pytest.FixtureRequest, world: World, tmp_path: Path
) -> AsyncIterator[int | Path]:
    """Where a proxy asks Mintage: its Unix socket, or its port."""
    if request.param == "port":
        yield world.port
        return
    path = tmp_path / "m.sock"
    async with at_socket(world.app, path):
        yield path
