"""The samples in `verify-tokens-elsewhere.md`, taken from the page and run against a server."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx2
import pytest

from mintage.testing.clock import ManualClock
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient
from tests.docs.test_docs import ROOT, Block, of
from tests.support.dpop import BoundClient
from tests.support.forge import P256, pem
from tests.support.node import HERE, running
from tests.support.world import SECRET, World

PAGE = ROOT / "docs/how-to/verify-tokens-elsewhere.md"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(int(time.time()))  # other languages look at a clock of their own


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "key.pem").write_bytes(pem(P256))
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("MCP_SERVER_SECRET", SECRET)
    return {
        "tokens": {"signing_key": "file:key.pem"},
        "resource": [
            {"path": "/mcp", "scopes": ["tools"]},
            {"path": "/other", "scopes": ["tools"]},
        ],
        "client": [
            {
                "client_id": "mcp-server",
                "client_secret": "file:secret",
                "introspects": ["/mcp"],
            }
        ],
    }


@dataclass
class Tokens:
    """*good* is a token for the resource; *bad* are some that are not, by what is wrong."""

    client: OAuthClient
    good: dict[str, Any]
    bad: dict[str, str]


@pytest.fixture
async def tokens(world: World, clock: ManualClock) -> Tokens:
    client = await world.client()
    with_key = BoundClient(await world.client(), clock)
    async with world.browser() as browser:
        good = await client.tokens(browser)
        other = await client.tokens(browser, resource=f"{world.issuer}/other")
        bound = await with_key.tokens(browser)
    token = good["access_token"]
    return Tokens(
        client,
        good,
        {
            "no token at all": "x",
            "a token for another resource": other["access_token"],
            "a refresh token": good["refresh_token"],
            "a token that is bound to a key": bound["access_token"],
            "a broken signature": token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:],
        },
    )


def sample(language: str, number: int, world: World) -> str:
    """The page's sample, with the address of a server that runs."""
    blocks: list[Block] = [block for block in of(language) if block.page == PAGE]
    return blocks[number].text.replace("https://auth.example.com", world.issuer)


def python(number: int, world: World) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "sample"}
    exec(compile(sample("python", number, world), str(PAGE), "exec"), names)  # noqa: S102
    return names


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def wsgi(application: Any) -> Iterator[str]:
    with make_server("127.0.0.1", free_port(), application, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def node(world: World, directory: Path, script: str, port: int) -> AsyncIterator[str]:
    (directory / "node_modules").symlink_to(HERE / "node_modules")
    (directory / "sample.mjs").write_text(script)
    async with running(str(directory / "sample.mjs"), PORT=str(port)):
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                await world.http.get(url)
                break
            except httpx2.ConnectError:
                await asyncio.sleep(0.05)
        yield url


async def guards(world: World, url: str, tokens: Tokens) -> None:
    """What every sample that verifies must do."""

    async def get(token: str | None) -> httpx2.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return await world.http.get(f"{url}/mcp/me", headers=headers)

    metadata = f"{world.issuer}/.well-known/oauth-protected-resource/mcp"
    unknown = await get(None)
    assert unknown.status_code == 401
    assert unknown.headers["www-authenticate"] == (
        f'Bearer scope="tools", resource_metadata="{metadata}"'
    )
    assert (await get(tokens.good["access_token"])).json() == {"subject": "alice"}
    for what, token in tokens.bad.items():
        refused = await get(token)
        assert refused.status_code == 401, what
        assert 'error="invalid_token"' in refused.headers["www-authenticate"], what


class TestPython:
    async def test_mintages_own_verifier(self, world: World, tokens: Tokens) -> None:
        user_of = python(1, world)["user_of"]
        assert await user_of(f"Bearer {tokens.good['access_token']}") == (200, "alice")
        assert await user_of("Basic YTpi") == (401, "")
        for what, token in tokens.bad.items():
            assert await user_of(f"Bearer {token}") == (401, ""), what

    async def test_verifies_by_the_public_keys(self, world: World, tokens: Tokens) -> None:
        with wsgi(python(2, world)["app"]) as url:
            await guards(world, url, tokens)

    async def test_wants_the_scopes(self, world: World, tokens: Tokens) -> None:
        names = python(2, world)
        application = names["TokenNeeded"](names["app"].wsgi_app, "tools", "more")
        with wsgi(application) as url:
            headers = {"authorization": f"Bearer {tokens.good['access_token']}"}
            refused = await world.http.get(f"{url}/mcp/me", headers=headers)
        assert refused.status_code == 403
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]

    async def test_is_not_sure_of_a_token_without_the_keys(
        self, world: World, tokens: Tokens
    ) -> None:
        names = python(2, world)
        names["KEYS"].uri = f"http://127.0.0.1:{free_port()}/jwks"
        with wsgi(names["app"]) as url:
            headers = {"authorization": f"Bearer {tokens.good['access_token']}"}
            answer = await world.http.get(f"{url}/mcp/me", headers=headers)
        assert answer.status_code == 503

    async def test_asks(self, world: World, tokens: Tokens) -> None:
        introspected = python(0, world)["introspected"]
        found = await asyncio.to_thread(introspected, tokens.good["access_token"])
        assert found["sub"] == "alice"
        for what, token in tokens.bad.items():
            assert await asyncio.to_thread(introspected, token) is None, what
        await tokens.client.revoke(tokens.good["refresh_token"])
        assert await asyncio.to_thread(introspected, tokens.good["access_token"]) is None


@pytest.mark.usefixtures("node_modules")
class TestNode:
    async def test_verifies_by_the_public_keys(
        self, world: World, tokens: Tokens, tmp_path: Path
    ) -> None:
        async with node(world, tmp_path, sample("javascript", 1, world), free_port()) as url:
            await guards(world, url, tokens)

    async def test_is_not_sure_of_a_token_without_the_keys(
        self, world: World, tokens: Tokens, tmp_path: Path
    ) -> None:
        script = sample("javascript", 1, world).replace("/jwks", "/nothing-here")
        async with node(world, tmp_path, script, free_port()) as url:
            headers = {"authorization": f"Bearer {tokens.good['access_token']}"}
            assert (await world.http.get(url, headers=headers)).status_code == 503

    async def test_asks(self, world: World, tokens: Tokens, tmp_path: Path) -> None:
        script = tmp_path / "sample.mjs"
        script.write_text(
            sample("javascript", 0, world)
            + "\nconst told = await introspected(process.argv[2]);\n"
            + 'console.log(told?.sub ?? "nobody");\n'
        )

        async def told(token: str) -> str:
            async with running(str(script), token) as child:
                out, _ = await child.communicate()
            return out.decode().strip()

        assert await told(tokens.good["access_token"]) == "alice"
        assert await told(tokens.bad["a token for another resource"]) == "nobody"
        assert await told(tokens.bad["a token that is bound to a key"]) == "nobody"


async def test_java_asks(world: World, tokens: Tokens, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no JDK")
    source = tmp_path / "Introspection.java"
    source.write_text(sample("java", 0, world))
    command = [java, str(source), tokens.good["access_token"]]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert '"active":true' in done.stdout, done.stderr
    assert '"sub":"alice"' in done.stdout
