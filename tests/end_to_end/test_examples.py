"""The examples: each is started by its one command, and used as its user would."""

import asyncio
import os
import re
import socket
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.settings.load import parse
from mintage.testing.browser import Browser, Page
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of
from tests.support.proxies import FOR_SITES, block, program

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/example.toml"))


@asynccontextmanager
async def started(name: str, ready: str) -> AsyncIterator[str]:
    """The example, from when it answers at the path *ready*; its address."""
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples", name, "--port", str(port),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with httpx2.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
            while True:
                assert child.returncode is None, await _said(child)
                try:
                    answer = await http.get(f"http://127.0.0.1:{port}{ready}")
                except httpx2.HTTPError:
                    answer = None
                if answer is not None and answer.status_code < 500:
                    break
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        await child.communicate()
    assert child.returncode == 0


async def _said(child: asyncio.subprocess.Process) -> str:
    assert child.stdout is not None
    return (await child.stdout.read()).decode()


async def test_a_port_of_another_program_is_named_and_how_to_choose_one() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples", "fastmcp_server", "--port", str(port),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = await _said(child)
        assert await child.wait() == 1
    assert f"127.0.0.1:{port}: Address already in use. Choose another port with --port" in said
    assert "Open " not in said


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with Browser(stop_at=(REDIRECT_URI,)) as browser:
        yield browser


async def as_alice(browser: Browser, page: Page) -> Page:
    """The provider's page offers its users as buttons."""
    assert "alice" in page.text
    return await browser.submit(page, {"username": "alice"})


async def tokens_at(issuer: str, path: str, browser: Browser, scope: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        client = await OAuthClient(issuer, http, f"{issuer}{path}").register()
        attempt = client.authorization(scope=scope)
        page = await browser.submit(await browser.open(attempt.url), {"decision": "approve"})
        landed = await as_alice(browser, page)
        answer = await client.redeem(attempt, answer_of(landed)["code"])
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


async def called(url: str, token: str, tool: str, **arguments: object) -> str:
    """The text that an MCP tool answers, through the official client."""
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp_types import TextContent

    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_a_fastmcp_server(browser: Browser) -> None:
    async with started("fastmcp_server", "/.well-known/oauth-authorization-server") as issuer:
        token = (await tokens_at(issuer, "/mcp", browser, "notes"))["access_token"]
        assert await called(f"{issuer}/mcp", token, "whoami") == "alice@example.org"
        assert await called(f"{issuer}/mcp", token, "add_note", text="a note") == "1"


async def test_a_fastapi_application(browser: Browser) -> None:
    async with started("fastapi_application", "/docs") as issuer:
        reader = await tokens_at(issuer, "/api", browser, "read")
        async with httpx2.AsyncClient(trust_env=False) as http:
            notes = f"{issuer}/api/notes"
            assert (await http.get(notes)).status_code == 401
            headers = {"authorization": f"Bearer {reader['access_token']}"}
            assert (await http.get(notes, headers=headers)).json() == []
            refused = await http.post(notes, params={"text": "a note"}, headers=headers)
            assert refused.status_code == 403
            writer = await tokens_at(issuer, "/api", browser, "read write")
            headers = {"authorization": f"Bearer {writer['access_token']}"}
            added = await http.post(notes, params={"text": "a note"}, headers=headers)
            assert added.json() == 1


async def test_the_gateway_in_front_of_two_servers(browser: Browser) -> None:
    async with started("gateway_two_servers", "/healthz") as issuer:
        tickets = (await tokens_at(issuer, "/tickets", browser, "tickets"))["access_token"]
        said = await called(f"{issuer}/tickets", tickets, "open_ticket", title="Rain")
        assert said == "'Rain', opened by alice@example.org"
        clock = (await tokens_at(issuer, "/clock", browser, "clock"))["access_token"]
        assert re.search(r"for alice@example\.org$", await called(f"{issuer}/clock", clock, "now"))


async def test_a_flask_site_behind_nginx(browser: Browser) -> None:
    program("nginx")
    async with started("nginx_flask_site", "/.well-known/oauth-authorization-server") as address:
        page = await browser.open(f"{address}/")
        landed = await as_alice(browser, page)
        assert landed.url == f"{address}/"
        assert "Welcome, alice@example.org" in landed.text


@pytest.mark.parametrize("directory", EXAMPLES, ids=lambda path: path.name)
def test_the_settings_are_those_of_production(directory: Path) -> None:
    data = tomllib.loads((directory / "mintage.toml").read_text(encoding="utf-8"))
    assert data["issuer"].startswith("https://")
    environ = {"UPSTREAM_SECRET": "s", "PATH": os.environ["PATH"]}
    parse({**data, "store": "memory://"}, base=directory, environ=environ)
    assert f"`.venv/bin/python -m examples {directory.name}`" in (
        ROOT / "examples/README.md"
    ).read_text(encoding="utf-8")


def test_the_proxy_of_the_example_is_the_manuals() -> None:
    manual = re.sub(r"^ *ssl_certificate.*\n", "", block("nginx", FOR_SITES), flags=re.MULTILINE)
    for text, place in {
        "listen 443 ssl;": "listen 127.0.0.1:{{port}};",
        "server_name wiki.example.com;": "server_name _;",
        "unix:/run/mintage/mintage.sock": "127.0.0.1:{{port1}}",
        "127.0.0.1:8000": "127.0.0.1:{{port2}}",
    }.items():
        manual = manual.replace(text, place)
    assert manual in (ROOT / "examples/nginx_flask_site/nginx.conf").read_text(encoding="utf-8")
