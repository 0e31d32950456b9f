"""The samples of `verify-tokens-elsewhere.md` that read the status list, against a real server.

Clocks are real here: what the page promises, five seconds, is what is measured.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.errors import RevokedToken
from mintage.jwt.verifier import JWTVerifier
from mintage.testing.clock import ManualClock
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient
from tests.docs.test_other_languages import node, sample
from tests.support.forge import P256, pem
from tests.support.servers import missing
from tests.support.servers import program as installed
from tests.support.world import World

PROMISED = 5.0  # seconds
JARS = Path("/usr/share/java")


class RealClock(ManualClock):
    def __call__(self) -> float:
        return time.time()


@pytest.fixture
def clock() -> ManualClock:
    return RealClock()


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key.pem").write_bytes(pem(P256))
    return {
        "tokens": {"signing_key": "file:key.pem"},
        "status_list": {},
        "resource": [{"path": path, "scopes": ["tools"]} for path in ("/mcp", "/other")],
    }


async def logged_in(world: World) -> tuple[OAuthClient, str]:
    client = await world.client()
    async with world.browser() as browser:
        return client, (await client.tokens(browser))["access_token"]


async def sees_the_end_in_time(world: World, url: str) -> None:
    """One of two tokens is revoked: the program refuses that one, soon, and not the other."""
    client, token = await logged_in(world)
    _, other = await logged_in(world)

    async def status(token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return (await world.http.get(f"{url}/mcp/me", headers=headers)).status_code

    for _ in range(600):  # it has started, and has its first list
        with suppress(httpx2.TransportError):
            if await status(token) == 200:
                break
        await asyncio.sleep(0.1)
    assert await status(token) == await status(other) == 200
    assert await status("x") == 401
    assert await status(token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:]) == 401
    await client.revoke(token)
    begun = time.monotonic()
    while await status(token) == 200:
        await asyncio.sleep(0.05)
    assert time.monotonic() - begun < PROMISED
    assert await status(token) == 401
    assert await status(other) == 200


@asynccontextmanager
async def program(world: World, *command: str, **environ: str) -> AsyncIterator[str]:
    """A program that listens at a port of its own, from when it answers."""
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        *command, env=os.environ | environ | {"PORT": str(port)}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                await world.http.get(url)
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
        yield url
    finally:
        child.kill()
        await child.wait()


async def is_revoked(verifier: JWTVerifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except RevokedToken:
        return True
    return False


async def test_python_sees_a_revocation_in_time(world: World) -> None:
    verifier = JWTVerifier(
        world.issuer,
        world.resource,
        jwks_url=f"{world.issuer}/jwks",
        status_list=f"{world.issuer}/status-list",
    )
    client, token = await logged_in(world)
    assert (await verifier.verify(token)).sub == "alice"
    await client.revoke(token)
    begun = time.monotonic()
    while not await is_revoked(verifier, token):
        assert time.monotonic() - begun < PROMISED
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("node_modules")
async def test_node_sees_a_revocation_in_time(world: World, tmp_path: Path) -> None:
    async with node(world, tmp_path, sample("javascript", 2, world), free_port()) as url:
        await sees_the_end_in_time(world, url)


async def test_java_sees_a_revocation_in_time(world: World, tmp_path: Path) -> None:
    java, jars = installed("java"), list(JARS.glob("jackson-*.jar"))
    if not (JARS / "jackson-databind.jar").exists():
        missing("libjackson2-databind-java is not installed")
    source = tmp_path / "Revocations.java"
    source.write_text(sample("java", 2, world))
    path = ":".join(map(str, jars))
    async with program(world, java, "-cp", path, str(source)) as url:
        await sees_the_end_in_time(world, url)


async def test_go_sees_a_revocation_in_time(world: World, tmp_path: Path) -> None:
    go = installed("go")
    source, built = tmp_path / "sample.go", tmp_path / "sample"
    source.write_text(sample("go", 1, world))
    done = await asyncio.create_subprocess_exec(
        go, "build", "-o", str(built), str(source),
        env=os.environ | {"GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off"},
    )  # fmt: skip
    assert await done.wait() == 0
    async with program(world, str(built)) as url:
        await sees_the_end_in_time(world, url)


@pytest.mark.usefixtures("node_modules")
async def test_node_answers_503_while_it_has_no_list(world: World, tmp_path: Path) -> None:
    _, token = await logged_in(world)
    script = sample("javascript", 2, world).replace("/status-list`", "/nothing-here`")
    async with node(world, tmp_path, script, free_port()) as url:
        headers = {"authorization": f"Bearer {token}"}
        async with asyncio.timeout(30):
            while True:  # until it has started
                with suppress(httpx2.TransportError):
                    assert (await world.http.get(url, headers=headers)).status_code == 503
                    break
                await asyncio.sleep(0.1)
