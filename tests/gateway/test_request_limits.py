"""One user can't use up all requests to a backend (E14), and a vanished peer uses none."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.gateway.http1.connection import Connection
from mintage.gateway.http1.pool import Pool
from mintage.settings.resource_section import ResourceSection
from mintage.settings.resources import http_target
from mintage.site.targets import HttpTarget
from mintage.testing.nanoidp import free_port
from tests.gateway.scripted import OK, Scripted, scripted
from tests.support.stdio_sessions import token
from tests.support.world import World

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"


@pytest.fixture
def backend() -> Scripted:
    return Scripted([STREAM])


@pytest.fixture
async def overrides(backend: Scripted) -> AsyncIterator[dict[str, Any]]:
    port = free_port()
    async with scripted(backend, port):
        url = f"http://127.0.0.1:{port}"
        yield {
            "resource": [{"path": "/mcp", "backend": url, "scopes": ["tools"], "max_requests": 8}]
        }


async def stream(world: World, access: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {access}"}
    request = world.http.build_request("GET", world.resource, headers=headers)
    return await world.http.send(request, stream=True)


async def test_attack_e14_a_user_has_a_share_of_a_backends_places(
    world: World, backend: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarter of eight, with whatever clients; streams and short requests alike."""
    one, other = await token(world), await token(world)
    streams = [await stream(world, access) for access in (one, other)]
    assert [found.status_code for found in streams] == [200, 200]
    with caplog.at_level(logging.INFO, "mintage"):
        refused = await stream(world, one)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "max_requests_per_user" in caplog.text
    bob = await stream(world, await token(world, "bob"))
    assert bob.status_code == 200
    await streams[0].aclose()
    backend.answers = [OK]
    async with asyncio.timeout(10):
        while (await stream(world, one)).status_code != 200:
            await asyncio.sleep(0.02)
    for found in (streams[1], bob, refused):
        await found.aclose()


def test_the_share_is_a_setting() -> None:
    def share(**settings: Any) -> int:
        section = ResourceSection(path="/mcp", backend="http://127.0.0.1:9", **settings)
        return http_target(section, "resource", Path()).limits.requests_per_user

    assert share() == 1024
    assert share(max_requests=1) == 1
    assert share(max_requests=10, max_requests_per_user=10) == 10


async def test_attack_e14_the_kernel_looks_whether_a_backend_is_there() -> None:
    port = free_port()
    async with scripted(Scripted(), port):
        pool = Pool(HttpTarget.parse(f"http://127.0.0.1:{port}", "backend"))
        assert pool.take(("issuer", "alice")) is None
        connection = await pool.connect(Connection)
        assert connection._transport is not None
        found = connection._transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        pool.give(connection, ("issuer", "alice"))
        pool.close()
