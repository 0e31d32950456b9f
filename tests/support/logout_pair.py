"""Two ``mintage serve`` processes on one store, and a real provider at which people log out."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from mintage.demo.stage import process
from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.support.node_provider import CLIENT_SECRET, NodeProvider, node_provider

_CONFIG: Final = """\
issuer = "{issuer}"
store  = "{store}"
secret = "file:mintage.secret"
allow  = "everybody"
[upstream]
issuer        = "{provider}"
client_id     = "mintage"
client_secret = "file:client.secret"
returns_after_logout = true
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:{backend}/mcp"
"""


@dataclass
class Pair:
    """The processes listen at *addresses*. The first is the issuer, which the provider knows."""

    addresses: tuple[str, str]
    provider: NodeProvider
    http: httpx2.AsyncClient
    log: Path

    @property
    def issuer(self) -> str:
        return self.addresses[0]

    def browser(self) -> Browser:
        return Browser(stop_at=(REDIRECT_URI,))

    async def client(self) -> OAuthClient:
        return await OAuthClient(self.issuer, self.http, f"{self.issuer}/mcp").register()

    async def is_accepted(self, address: str, tokens: dict[str, Any]) -> bool:
        """Whether the process at *address* forwards a request with the access token."""
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        return (await self.http.get(f"{address}/mcp", headers=headers)).status_code != 401

    async def refusals(self, tokens: dict[str, Any], *, within: float) -> list[float]:
        """After how many seconds each process refuses the access token for the first time."""

        async def first(address: str) -> float:
            begun = time.monotonic()
            while await self.is_accepted(address, tokens):
                if time.monotonic() > begun + within:
                    raise AssertionError(f"{address} still accepts it after {within} seconds")
                await asyncio.sleep(0.002)
            return time.monotonic() - begun

        return await asyncio.gather(*map(first, self.addresses))


@asynccontextmanager
async def logout_pair(
    directory: Path, *, store: str | None = None, session_required: bool = True
) -> AsyncIterator[Pair]:
    """*store*: a URL, else a file in *directory*. *session_required*: see `node_provider`."""
    ports = free_port(), free_port()
    addresses = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(
            node_provider(addresses[0], session_required=session_required)
        )
        file = directory / "mintage.toml"
        for name, secret in (("mintage", secrets.token_urlsafe(32)), ("client", CLIENT_SECRET)):
            kept = directory / f"{name}.secret"
            kept.touch(0o600)
            kept.write_text(secret)
        file.write_text(
            _CONFIG.format(
                issuer=addresses[0],
                store=store or f"sqlite://{directory}/mintage.db",
                provider=provider.issuer,
                backend=free_port(),
            )
        )
        logs = [directory / f"serve-{port}.log" for port in ports]
        for port, address, log in zip(ports, addresses, logs, strict=True):
            await stack.enter_async_context(
                process(
                    "mintage", "serve", "--config", str(file), "--port", str(port),
                    ready=f"{address}/healthz", log=log,
                )
            )  # fmt: skip
        http = await stack.enter_async_context(
            httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30)
        )
        yield Pair(addresses, provider, http, logs[0])
