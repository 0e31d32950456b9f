"""The applications of the pages on integrations, served as they stand there, with a login."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from mintage.testing.serving import serving
from tests.docs.test_docs import ROOT, SECRET, of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(int(time.time()))  # the pages have no place for another


class Served:
    """An application of a page, where it listens."""

    def __init__(self, origin: str, http: httpx2.AsyncClient) -> None:
        self.origin, self.http = origin, http

    async def token(self, path: str, **parameters: str) -> dict[str, str]:
        client = await OAuthClient(self.origin, self.http, self.origin + path).register()
        async with Browser(stop_at=(REDIRECT_URI, "https://")) as browser:
            tokens = await client.tokens(browser, **parameters)
        return {"authorization": f"Bearer {tokens['access_token']}"}


Serve = Callable[[str, int], AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The application in the Python block of that number on a page, with the page's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINTAGE_SECRET", SECRET)
    monkeypatch.setenv("UPSTREAM_SECRET", upstream.client_secret)

    @asynccontextmanager
    async def served(page: str, number: int) -> AsyncIterator[Served]:
        port = free_port()
        origin = f"http://127.0.0.1:{port}"

        def block(language: str, at: int) -> str:
            found = [each for each in of(language) if each.page == ROOT / page]
            text = found[at].text.replace("https://login.example.com", upstream.issuer)
            for name in ("api", "mcp"):
                text = text.replace(f"https://{name}.example.com", origin)
            return text

        (tmp_path / "mintage.toml").write_text(block("toml", 0))
        names: dict[str, Any] = {"__name__": "notes"}
        exec(compile(block("python", number), page, "exec"), names)  # noqa: S102
        config = uvicorn.Config(
            names["app"], host="127.0.0.1", port=port, log_config=None, lifespan="on"
        )
        async with (
            serving(uvicorn.Server(config)),
            httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30) as http,
        ):
            yield Served(origin, http)

    return served


async def test_the_fastapi_application(serve: Serve) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("fastapi")
    async with serve("docs/how-to/starlette-and-fastapi.md", 0) as app:
        assert (await app.http.get(f"{app.origin}/api/me")).status_code == 401
        headers = await app.token("/api")
        me = await app.http.get(f"{app.origin}/api/me", headers=headers)
        assert me.json()["email"] == "alice@example.com"
        profile = await app.http.get(f"{app.origin}/api/profile", headers=headers)
        assert profile.json()["sub"] == "alice"
        note = f"{app.origin}/api/notes/7"
        assert (await app.http.put(note, headers=headers)).status_code == 403
        headers = await app.token("/api", scope="read write")
        written = await app.http.put(note, headers=headers)
        assert written.json() == {"note": 7, "written by": "alice"}


async def test_the_starlette_application(serve: Serve) -> None:
    async with serve("docs/how-to/starlette-and-fastapi.md", 1) as app:
        headers = await app.token("/api")
        me = await app.http.get(f"{app.origin}/api/me", headers=headers)
        assert me.json() == {"subject": "alice"}
        notes = f"{app.origin}/api/notes"
        assert (await app.http.put(notes, headers=headers)).status_code == 403
        headers = await app.token("/api", scope="read write")
        assert (await app.http.put(notes, headers=headers)).json() == {"written by": "alice"}


async def test_the_server_of_the_sdk(serve: Serve) -> None:
    async with serve("docs/how-to/mcp-sdk.md", 0) as app:
        headers = await app.token("/mcp")
        async with (
            httpx2.AsyncClient(verify=trusted(), headers=headers, trust_env=False) as http,
            Client(streamable_http_client(f"{app.origin}/mcp", http_client=http)) as client,
        ):
            told = [
                part.text
                for tool in ("whoami", "profile")
                for part in (await client.call_tool(tool, {})).content
                if isinstance(part, TextContent)
            ]
        assert told[0] == "alice, alice@example.com"
        assert '"sub":"alice"' in told[1]
