"""The server processes that the benchmarks drive, on free loopback ports."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_client import BenchClient
from benchmarks.upstream import CLIENT_ID, CLIENT_SECRET
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

CONFIG = """\
issuer = "{issuer}"
store  = "{store}"
secret = "file:mintage.secret"
[upstream]
issuer        = "{upstream}"
client_id     = "{client_id}"
client_secret = "file:upstream.secret"
[[resource]]
path       = "/mcp"
backend    = "{backend}"
scopes     = ["tools"]
credential = "upstream"
[limits]  # counted, and never reached: a benchmark is one user who does not wait
requests_per_user         = 100000000
refreshes_per_login       = 100000000
registrations_per_address = 100000000
registrations             = 100000000
"""


@asynccontextmanager
async def provider(directory: Path, *, lifetime: int) -> AsyncIterator[str]:
    """The cheap provider; its issuer. *lifetime* (seconds): of its access tokens."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with process(
        "benchmarks.upstream", str(port), str(lifetime),
        ready=f"{issuer}/jwks", log=directory / "upstream.log",
    ):  # fmt: skip
        yield issuer


@dataclass(frozen=True, slots=True)
class MintageServers:
    """``mintage serve``, as many processes as like, on one store."""

    file: Path
    ports: list[int]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def bench_client(self, number: int = 0, client_id: str = "") -> BenchClient:
        """A client of process *number*."""
        port = self.ports[number % len(self.ports)]
        return BenchClient(self.issuer, port, f"{self.issuer}/mcp", client_id)

    def serving(
        self, number: int = 0, *, workers: int = 1
    ) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        """Process *number*, from when it answers until the block ends."""
        port = self.ports[number]
        return process(
            "mintage", "serve", "--config", str(self.file), "--port", str(port),
            "--workers", str(workers),
            ready=f"http://127.0.0.1:{port}/healthz",
            log=self.file.with_name(f"serve-{number}.log"),
        )  # fmt: skip


def mintage(
    directory: Path,
    upstream: str,
    store: str,
    *,
    processes: int = 1,
    backend: str = "",
    more: str = "",
) -> MintageServers:
    """Configured in *directory*, in front of *backend*; nothing is serving yet.

    *more*: settings that follow the table ``[limits]``.
    """
    directory.mkdir(exist_ok=True)
    ports = [free_port() for _ in range(processes)]
    (directory / "upstream.secret").write_text(CLIENT_SECRET)
    (directory / "mintage.secret").touch(mode=0o600)
    (directory / "mintage.secret").write_text(secrets.token_urlsafe(32))
    file = directory / "mintage.toml"
    file.write_text(
        CONFIG.format(
            issuer=f"http://127.0.0.1:{ports[0]}",
            store=store,
            upstream=upstream,
            backend=backend or f"{upstream}/backend",
            client_id=CLIENT_ID,
        )
        + more
    )
    return MintageServers(file, ports)
