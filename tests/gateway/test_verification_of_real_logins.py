"""A login at Mintage itself, and a proxy that verifies its token with what Mintage publishes."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mintage.cli.verify_files import Files
from mintage.testing.clock import ManualClock
from mintage.testing.nanoidp import free_port
from tests.support.forge import P256, pem
from tests.support.proxies import running
from tests.support.raw_backend import RawBackend
from tests.support.verifying_proxies import COMMANDS, Issuer, asked
from tests.support.world import World


@pytest.fixture
def clock() -> ManualClock:
    """The proxies have no clock but the machine's."""
    return ManualClock(int(time.time()))


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key.pem").write_bytes(pem(P256))
    return {
        "tokens": {"signing_key": "file:key.pem"},
        "status_list": {"size": 8192},
        "resource": [{"path": "/mcp", "scopes": ["tools"]}],
    }


@pytest.fixture(params=COMMANDS)
async def port(
    request: pytest.FixtureRequest, world: World, raw: RawBackend, tmp_path: Path
) -> AsyncIterator[int]:
    """Where the proxy listens. Its files are kept by the program itself."""
    directory = tmp_path / "proxy"
    directory.mkdir()
    program = [sys.executable, "-m", "mintage", "verify-files", str(directory)]
    options = ["--issuer", world.issuer, "--every", "0.3"]
    await Files(directory=directory, issuer=world.issuer).renew(time.time())
    if request.param == "haproxy":
        options += ["--haproxy", str(directory / "h.sock")]
    listen = free_port()
    command = COMMANDS[request.param](
        directory, listen=listen, issuer=Issuer(world.port), tools=raw.port
    )
    keeper = await asyncio.create_subprocess_exec(*program, *options, env=os.environ)
    try:
        async with running(*command, port=listen, log=tmp_path / "proxy.log"):
            yield listen
    finally:
        keeper.terminate()
        await keeper.wait()


async def test_attack_c07_a_revoked_login_is_refused_where_nobody_asks(
    world: World, port: int, raw: RawBackend
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    line = f"Authorization: Bearer {tokens['access_token']}"
    answer = await asked(port, line)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert dict(raw.seen[0]["headers"])[b"x-forwarded-user"] == b"alice"
    assert (await client.revoke(tokens["refresh_token"])).status_code == 200
    world.clock.advance(3)  # Mintage's own list is older than that no longer
    async with asyncio.timeout(30):
        while (await asked(port, line)).startswith(b"HTTP/1.1 200 "):
            await asyncio.sleep(0.1)
    answer = await asked(port, line)
    assert answer.startswith(b"HTTP/1.1 401 "), answer
