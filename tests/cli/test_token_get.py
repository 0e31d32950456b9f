"""``mintage token get``: a login in the browser, and the token at the shell."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from mintage.testing.browser import Browser
from mintage.testing.nanoidp import free_port
from tests.support.world import THE_BACKEND, World


@asynccontextmanager
async def getting(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The command, and the address that it asks its person to open."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "token", "get", "--no-browser", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            assert child.stderr is not None
            line = (await child.stderr.readline()).decode()
            assert line.startswith("Log in here: "), line
            yield child, line.removeprefix("Log in here: ").strip()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


class TestDevice:
    """``--device``: the code is typed in a browser elsewhere (RFC 8628)."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"grant_types": {"device_code": {"interval": 1}}}

    @pytest.mark.parametrize("decision", ["approve", "deny"])
    async def test_a_machine_without_a_browser_gets_a_token(
        self, world: World, decision: str
    ) -> None:
        async with shown(world.resource) as (child, line):
            page, code = line.split(" on a device")[0].split()[-1], line.split()[-1]
            async with world.browser() as browser:
                question = await browser.submit(await browser.open(page), {"user_code": code})
                await browser.submit(question, {"decision": decision})
            world.clock.advance(5)
            output, errors = await child.communicate()
        if decision == "deny":
            assert (child.returncode, output) == (1, b"")
            assert b"the person denied access" in errors
            return
        assert child.returncode == 0, errors
        headers = {"authorization": f"Bearer {output.decode().strip()}"}
        assert (await world.http.get(world.resource, headers=headers)).status_code == 200


async def test_a_server_without_device_login_is_named(world: World) -> None:
    async with shown(world.resource) as (child, line):
        output, _ = await child.communicate()
    assert (child.returncode, output) == (1, b"")
    assert "offers no login for devices" in line


@asynccontextmanager
async def shown(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The command with ``--device``, and the first line that it shows."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "token", "get", "--device", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            assert child.stderr is not None
            yield child, (await child.stderr.readline()).decode()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def decided(url: str, decision: str) -> None:
    async with Browser() as browser:
        page = await browser.open(url)
        await browser.submit(page, {"decision": decision})


async def test_the_token_opens_the_resource(world: World) -> None:
    async with getting(world.resource) as (child, url):
        await decided(url, "approve")
        output, _ = await child.communicate()
    assert child.returncode == 0
    token = output.decode().strip()
    answer = await world.http.get(world.resource, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200


async def test_a_script_gets_the_whole_answer(world: World) -> None:
    async with getting(world.resource, "--json") as (child, url):
        await decided(url, "approve")
        output, _ = await child.communicate()
    found = json.loads(output)
    assert found["token_type"] == "Bearer"
    assert {"access_token", "refresh_token", "expires_in"} <= found.keys()


class TestScopes:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        resource = {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["read"],
                    "optional_scopes": ["write"]}  # fmt: skip
        return {"resource": [resource]}

    async def test_those_that_are_asked_for_come_with_the_token(self, world: World) -> None:
        async with getting(world.resource, "--scope", "write", "--json") as (child, url):
            await decided(url, "approve")
            output, _ = await child.communicate()
        assert set(json.loads(output)["scope"].split()) == {"read", "write"}


async def test_who_denies_gets_no_token_and_hears_so(world: World) -> None:
    async with getting(world.resource) as (child, url):
        await decided(url, "deny")
        output, errors = await child.communicate()
    assert (child.returncode, output) == (1, b"")
    *_, last = errors.decode().splitlines()
    assert last.startswith("mintage: the login was refused: ")
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("way", ["--no-browser", "--device"])
@pytest.mark.parametrize("url", ["mcp.example.com", "http://127.0.0.1:{free}/mcp"])
async def test_what_can_not_be_asked_is_one_line(url: str, way: str) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "token", "get", way,
        url.format(free=free_port()),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await child.communicate()
    assert child.returncode in (1, 2)
    assert output == b""
    assert len(errors.splitlines()) == 1, errors
    if child.returncode == 1:
        assert b"check that a server runs there, and the host and port" in errors


async def test_a_server_that_asks_for_no_login_is_said_to(world: World) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(world.backend.url)).status_code == 200
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "token", "get", world.backend.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await child.communicate()
    assert child.returncode == 1
    assert b"answered 200 and asked for no login" in errors
