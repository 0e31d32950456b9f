"""The topology of deploy/compose/replicas without containers: from its files, on loopback."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from mintage.demo.stage import process
from mintage.testing.browser import Browser
from mintage.testing.nanoidp import NanoIDP, free_port, nanoidp
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of
from tests.support.proxies import program, replaced, running

REPLICAS = Path(__file__).parents[2] / "deploy/compose/replicas"
SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"


@asynccontextmanager
async def mintage(settings: Path, port: int) -> AsyncIterator[None]:
    """One replica, as its container runs it."""
    async with process(
        "mintage", "serve", "--config", str(settings), "--port", str(port),
        ready=f"http://127.0.0.1:{port}/healthz", log=settings.with_name(f"{port}.log"),
    ):  # fmt: skip
        yield


@pytest.fixture
def addresses() -> dict[str, int]:
    return {name: free_port() for name in ("caddy", "mintage-1", "mintage-2", "backend")}


def files(
    directory: Path, ports: dict[str, int], provider: NanoIDP, store: str
) -> tuple[Path, Path]:
    """(Caddyfile, mintage.toml): as they are shipped, with loopback in place of containers."""
    for name, secret in (("root", SECRET), ("upstream", provider.client_secret), ("store", store)):
        (directory / name).write_text(secret)
    site = f"localhost:{ports['caddy']}"
    caddy = replaced(
        (REPLICAS / "Caddyfile").read_text(),
        {
            "auth.example.com": site,
            "mintage-1:8080": f"127.0.0.1:{ports['mintage-1']}",
            "mintage-2:8080": f"127.0.0.1:{ports['mintage-2']}",
        },
    )
    options = ["admin off", "auto_https disable_redirects", "skip_install_trust"]
    options.append(f"storage file_system {directory}/caddy")
    (directory / "Caddyfile").write_text("\n".join(["{", *options, "}", caddy]))
    settings = replaced(
        (REPLICAS / "mintage.toml").read_text(),
        {
            "https://auth.example.com": f"https://{site}",
            "https://login.example.com": provider.issuer,
            "backend:8000": f"127.0.0.1:{ports['backend']}",
            "/run/secrets/": "",
            "172.16.0.0/12": "127.0.0.0/8",
        },
    )
    (directory / "mintage.toml").write_text(settings)
    return directory / "Caddyfile", directory / "mintage.toml"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A backend that says who it was told the user is."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    user = re.search(r"^x-forwarded-user: (.+)\r$", head, re.MULTILINE | re.IGNORECASE)
    body = (user[1] if user else "nobody").encode()
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    writer.close()


async def test_logins_survive_the_restart_of_each_replica(
    tmp_path: Path,
    addresses: dict[str, int],
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = f"https://localhost:{addresses['caddy']}"
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(nanoidp(redirect_uri=f"{issuer}/callback"))
        caddyfile, settings = files(tmp_path, addresses, provider, postgres_url)
        backend = await asyncio.start_server(_answer, "127.0.0.1", addresses["backend"])
        await stack.enter_async_context(backend)
        one, two = addresses["mintage-1"], addresses["mintage-2"]
        command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(caddyfile)]
        await stack.enter_async_context(
            running(*command, port=addresses["caddy"], log=tmp_path / "caddy.log", home=tmp_path)
        )
        authority = tmp_path / "caddy/pki/authorities/local/root.crt"
        async with asyncio.timeout(10):
            while not authority.exists():
                await asyncio.sleep(0.05)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        trust = ssl.create_default_context(cafile=str(authority))
        http = await stack.enter_async_context(
            httpx2.AsyncClient(verify=trust, trust_env=False, timeout=30)
        )
        browser = await stack.enter_async_context(Browser(stop_at=(REDIRECT_URI,)))
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(mintage(settings, one))
        async with mintage(settings, two):
            await _is_reached(http, issuer)
            client = await OAuthClient(issuer, http, f"{issuer}/mcp").register()
            tokens = await _log_in(client, browser, provider)
            await _names_its_own_requests(http, issuer)
            await first.aclose()  # the first one stops, and the second one knows the login
            await _has_noticed(tmp_path / "caddy.log", one)
            tokens = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
            assert (await client.call(tokens["access_token"])).text == provider.username
            await first.enter_async_context(mintage(settings, one))
        await _has_noticed(tmp_path / "caddy.log", two)
        # Now the second one stopped, while the first one has never seen the newest tokens.
        tokens = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
        assert (await client.call(tokens["access_token"])).text == provider.username


async def _is_reached(http: httpx2.AsyncClient, issuer: str) -> None:
    async with asyncio.timeout(20):
        while (await http.get(f"{issuer}/healthz")).status_code != 200:
            await asyncio.sleep(0.2)


async def _names_its_own_requests(http: httpx2.AsyncClient, issuer: str) -> None:
    """A client behind a trusted proxy would otherwise choose ids that are in the log already."""
    chosen = {"x-request-id": "chosen-by-a-client"}
    answer = await http.get(f"{issuer}/healthz", headers=chosen)
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


async def _has_noticed(log: Path, port: int) -> None:
    """Until the proxy's health check has found that nothing listens at *port*.

    Debian's Caddy 2.6 can't repeat a POST whose connection was refused: it has closed the body.
    """
    refused = re.compile(rf'"host":"127\.0\.0\.1:{port}","error":.*connection refused')
    before = len(refused.findall(log.read_text()))
    async with asyncio.timeout(20):
        while len(refused.findall(log.read_text())) == before:
            await asyncio.sleep(0.1)


async def _log_in(client: OAuthClient, browser: Browser, provider: NanoIDP) -> dict[str, str]:
    attempt = client.authorization()
    page = await browser.submit(await browser.open(attempt.url), {"decision": "approve"})
    page = await browser.submit(
        page, {"username": provider.username, "password": provider.password}
    )
    answer = await client.redeem(attempt, answer_of(page)["code"])
    found: dict[str, str] = answer.raise_for_status().json()
    return found
