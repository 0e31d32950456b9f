"""Mintage as its operators run it: ``mintage serve`` processes on one store."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from mintage.crypto.derivation import purpose_key
from mintage.demo.stage import process
from mintage.settings.load import Config, load
from mintage.stores.opening import open_store
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient
from mintage.values import ClientId
from mintage.vault.settings import ProviderCalls, VaultSettings
from mintage.vault.values import VaultKeys
from mintage.vault.vault import Vault
from tests.support.logins import new_code

CONFIG = """\
issuer = "{issuer}"
store  = "{store}"
secret = "file:mintage.secret"
[upstream]
issuer    = "http://127.0.0.1:9"
client_id = "mintage"
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:{backend}/mcp"
scopes  = ["tools"]
[limits]  # the races are of one login
refreshes_per_login = 0
"""


@dataclass
class Fleet:
    """Processes that share a store, each at its own address, and a vault of our own on it."""

    config: Config
    file: Path
    ports: list[int]
    vault: Vault

    def client_at(self, number: int, http: httpx2.AsyncClient, client_id: str) -> OAuthClient:
        """The client *client_id*, talking to process *number*."""
        address = f"http://127.0.0.1:{self.ports[number % len(self.ports)]}"
        return OAuthClient(address, http, f"{self.config.issuer}/mcp", client_id)

    async def code(self, client_id: str) -> str:
        """A code as the callback makes it (see `new_code`). Each is of another user."""
        return await new_code(
            self.vault,
            secrets.token_hex(8),
            ClientId(client_id),
            at=int(time.time()),
            resource=f"{self.config.issuer}/mcp",
        )

    @asynccontextmanager
    async def serving(self, number: int) -> AsyncIterator[asyncio.subprocess.Process]:
        """Process *number*, from when it answers until the block ends."""
        port = self.ports[number]
        async with process(
            "mintage", "serve", "--config", str(self.file), "--port", str(port),
            ready=f"http://127.0.0.1:{port}/.well-known/oauth-authorization-server",
            log=self.file.with_name(f"serve-{number}.log"),
        ) as child:  # fmt: skip
            yield child


@asynccontextmanager
async def fleet(
    directory: Path, *, processes: int, store: str | None = None
) -> AsyncIterator[Fleet]:
    """Everything prepared; nothing is serving yet. *store*: a URL, else a file in *directory*."""
    store = store or f"sqlite://{directory}/mintage.db"
    ports = [free_port() for _ in range(processes)]
    secret = directory / "mintage.secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_urlsafe(32))
    file = directory / "mintage.toml"
    file.write_text(
        CONFIG.format(issuer=f"http://127.0.0.1:{ports[0]}", store=store, backend=free_port())
    )
    config = load(file)
    opened = await open_store(store, clock=time.time)
    keys = VaultKeys(
        seal=purpose_key(config.secret, "seal"), index=purpose_key(config.secret, "index")
    )
    vault = Vault(
        opened,
        VaultSettings(
            keys=(keys,),
            clock=time.time,
            steady=time.time,
            random_bytes=secrets.token_bytes,
        ),
        ProviderCalls(),
    )
    try:
        yield Fleet(config, file, ports, vault)
    finally:
        await opened.close()
