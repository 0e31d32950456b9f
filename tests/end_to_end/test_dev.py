"""``mintage dev`` in front of real servers, used by the official client, ended by a signal."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from mcp_types import TextContent
from pydantic import AnyUrl

from mintage.demo.memory import Memory
from mintage.demo.stage import process
from mintage.demo.walk import CALLBACK, User
from mintage.testing.browser import Browser, Page
from mintage.testing.nanoidp import free_port, nanoidp
from tests.support.command import children, is_gone, mintage
from tests.support.mcp_servers import whoami

STDIO_SERVER = str(Path(__file__).parent.with_name("support") / "stdio_server.py")
NOWHERE = "http://127.0.0.1:9/userinfo"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's directory of temporary files; the user's own files are beside it."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return path


class Chooser(User):
    """A person who picks a user on the login page. There is no password to give."""

    async def _log_in(self, page: Page) -> Page:
        assert "alice" in page.text
        assert 'type="password"' not in page.text
        return await self.browser.submit(page, {"username": self.name})


@asynccontextmanager
async def connected(url: str, username: str) -> AsyncIterator[Client]:
    """The official client, logged in as *username*, with a session open."""
    async with Browser(stop_at=(CALLBACK,)) as browser:
        user = Chooser(browser, username, "")
        metadata = OAuthClientMetadata(
            redirect_uris=[AnyUrl(CALLBACK)],
            client_name="A client",
            token_endpoint_auth_method="none",
        )
        provider = OAuthClientProvider(url, metadata, Memory(), user.redirect, user.callback)
        async with (
            httpx2.AsyncClient(auth=provider, trust_env=False, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            yield client


async def call(url: str, username: str, tool: str, **arguments: str) -> str:
    """What *tool* says to the official client, which logs in as *username*."""
    async with connected(url, username) as client:
        result = await client.call_tool(tool, arguments)
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


async def as_agent(curl: str, url: str) -> str:
    """Whom the server sees when an agent without a user has done what *curl* does."""
    found = re.fullmatch(r"-u (\S+):(\S+) (\S+) -d grant_type=(\S+)", curl)
    assert found is not None
    name, secret, endpoint, grant_type = found.groups()
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(endpoint, data={"grant_type": grant_type}, auth=(name, secret))
    headers = {"authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        return await whoami(client)


@asynccontextmanager
async def developing(
    port: int, said: Path, *args: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    async with process(
        "mintage", "dev", "--port", str(port), *args,
        ready=f"http://127.0.0.1:{port}/healthz", log=said, new_group=True,
    ) as child:  # fmt: skip
        yield child


async def end(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """*number*, to the whole process group, as a terminal sends it: all end, exit code 0."""
    below = children(child.pid)
    assert below
    os.killpg(child.pid, number)
    assert await asyncio.wait_for(child.wait(), 60) == 0
    assert all([await is_gone(pid) for pid in below])


async def test_an_http_server_gets_login_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    port, backend, said = free_port(), free_port(), tmp_path / "said"
    url = f"http://127.0.0.1:{backend}/mcp"
    async with (
        process("mintage.demo.backend", str(backend), NOWHERE, ready=url, log=tmp_path / "b"),
        developing(port, said, "--backend", url) as child,
    ):
        assert await call(f"http://127.0.0.1:{port}/mcp", "bob", "whoami") == "bob"
        (curl,) = re.findall(r"^ +curl (.+)$", said.read_text(encoding="utf-8"), re.MULTILINE)
        assert await as_agent(curl, f"http://127.0.0.1:{port}/mcp") == "client|agent"
        await end(child, signal.SIGINT)
    text = said.read_text(encoding="utf-8")
    assert f"http://127.0.0.1:{port}/mcp" in text
    assert "For development only" in text
    for client in ("claude mcp add", "code --add-mcp", "mcpServers", "codex mcp add", "6274"):
        assert client in text
    assert re.search(r" 401 .*POST /mcp", text)
    for line in ("GET /authorize", "POST /token", "tools/call whoami"):
        assert line in text
    for secret in ("code_challenge", "state=", "code="):
        assert secret not in text
    assert "settings_loaded" not in text  # it would stand before the greeting
    assert text.endswith("Stopped.\n")
    assert "Traceback" not in text


async def test_a_stdio_server_gets_login_and_a_hangup_ends_it_all(tmp_path: Path) -> None:
    port, said = free_port(), tmp_path / "said"
    async with developing(port, said, "--", sys.executable, STDIO_SERVER) as child:
        url = f"http://127.0.0.1:{port}/mcp"
        assert await call(url, "carol", "environment", name="MINTAGE_USER") == "carol"
        await end(child, signal.SIGHUP)
    assert "Traceback" not in said.read_text(encoding="utf-8")


async def test_ctrl_c_with_a_session_open_ends_in_one_line(tmp_path: Path, temporary: Path) -> None:
    """The client listens for what the server says of its own accord, and a tool is at work."""
    port, said = free_port(), tmp_path / "said"
    async with (
        developing(port, said, "--", sys.executable, STDIO_SERVER) as child,
        connected(f"http://127.0.0.1:{port}/mcp", "alice") as client,
    ):
        await client.list_tools()
        slow = asyncio.create_task(client.call_tool("forever", {}))
        async with asyncio.timeout(20):
            while "tools/call forever" not in said.read_text(encoding="utf-8"):
                await asyncio.sleep(0.05)
        await end(child, signal.SIGINT)
        slow.cancel()
    text = said.read_text(encoding="utf-8")
    assert text.partition("tools/call forever\n")[2].split() == ["Stopped."]
    assert list(temporary.iterdir()) == []


async def test_ctrl_c_while_the_provider_starts_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a process nor the directory, into which that process would write again."""
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = children(os.getpid())

    async def start() -> None:
        async with nanoidp(redirect_uri="http://127.0.0.1:9/callback"):
            raise AssertionError("it was to be stopped before")

    task = asyncio.create_task(start())
    while children(os.getpid()) == before:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children(os.getpid()) == before
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ["http://127.0.0.1:8000/mcp"],
            "mintage: dev: did you mean --backend http://127.0.0.1:8000/mcp?\n",
        ),
        (["--", "no-such-program"], "mintage: --: there is no program 'no-such-program' here"),
        ([], "mintage: dev: give either --backend URL, or -- and a command\n"),
        (["--backend", "http://127.0.0.1:1/mcp", "--", "x"], "mintage: dev: give either"),
        (["--backend", "nonsense"], "mintage: --backend: "),
        (
            ["--backend", "127.0.0.1:8791/mcp"],
            "mintage: --backend: must be a whole URL, like http://127.0.0.1:8791/mcp\n",
        ),
        (["--backend", "http://127.0.0.1:1/mcp", "--port", "70000"], "mintage: --port: "),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments: list[str], why: str) -> None:
    done = mintage("dev", *arguments)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1), done.stderr
    assert done.stderr.decode().startswith(why)
    assert done.stdout == b""
