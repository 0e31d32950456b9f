"""Starts everything that the demo needs on free loopback ports, and stops it afterwards."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import uvicorn

from mintage.app import Mintage
from mintage.app.serving import uvicorn_config
from mintage.demo.request_log import RequestLog
from mintage.settings.load import Config, load
from mintage.settings.variables import PREFIX
from mintage.testing.nanoidp import NanoIDP, free_port, nanoidp
from mintage.testing.serving import serving

_GRACE = 2  # seconds for requests under way when it stops

CONFIG = """\
issuer = "{issuer}"
store  = "sqlite://{directory}/mintage.db"

[upstream]
preset        = "oidc"
issuer        = "{provider.issuer}"
client_id     = "{provider.client_id}"
client_secret = "file:upstream.secret"
scopes        = ["openid", "email", "offline_access"]

[[resource]]
path       = "/mcp"
backend    = "http://127.0.0.1:{backend_port}/mcp"
scopes     = ["tools"]
credential = "upstream"

[tokens]
refresh_grace = {grace}
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts. Mintage was started with *config*, in *directory*."""

    issuer: str
    directory: Path
    config: Config
    provider: NanoIDP
    requests: RequestLog = field(default_factory=RequestLog)

    @property
    def mcp_url(self) -> str:
        return f"{self.issuer}/mcp"


@asynccontextmanager
async def stage(*, grace: int) -> AsyncIterator[Stage]:
    """Run a login provider, an MCP server, and Mintage in front of it (*grace* in seconds)."""
    port, backend_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="mintage-demo-")))
        provider = await stack.enter_async_context(nanoidp(redirect_uri=f"{issuer}/callback"))
        secret = directory / "upstream.secret"
        secret.touch(0o600)
        secret.write_text(provider.client_secret)
        file = directory / "mintage.toml"
        file.write_text(
            CONFIG.format(
                issuer=issuer,
                directory=directory,
                provider=provider,
                backend_port=backend_port,
                grace=grace,
            )
        )
        await stack.enter_async_context(
            process(
                "mintage.demo.backend", str(backend_port), f"{provider.issuer}/userinfo",
                ready=f"http://127.0.0.1:{backend_port}/mcp", log=directory / "backend.log",
                new_group=True,
            )
        )  # fmt: skip
        config, requests = load(file, environ=_without_settings(os.environ)), RequestLog()
        await stack.enter_async_context(gateway(config, port, requests))
        yield Stage(issuer, directory, config, provider, requests)


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* without the settings of another server."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


@asynccontextmanager
async def gateway(config: Config, port: int, requests: RequestLog) -> AsyncIterator[None]:
    """Run Mintage in this process, on loopback. *requests* is called for each request."""
    app = Mintage(config)
    settings = uvicorn_config(requests.before(app), config, grace=_GRACE, port=port)
    logging.getLogger("uvicorn.error").addFilter(_not_cut_short)
    async with app.running(), serving(uvicorn.Server(settings)):
        try:
            yield
        finally:
            app.drain()


def _not_cut_short(record: logging.LogRecord) -> bool:
    """Whether to log *record*: not if it is only about a request that the demo's end cut short."""
    failed = record.exc_info[1] if record.exc_info else None
    cancelled = isinstance(failed, asyncio.CancelledError)
    return not cancelled and "timeout graceful shutdown exceeded" not in str(record.msg)


@asynccontextmanager
async def process(
    module: str, *args: str, ready: str, log: Path, new_group: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m module args…`` from when *ready* answers until the block ends.

    *new_group*: a signal to this process's group, such as Ctrl-C on a terminal, does not reach it.
    """
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *args,
            stdout=output,
            stderr=output,
            start_new_session=new_group,
        )
    try:
        await _wait(child, ready, log)
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def _wait(child: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(300):
            with contextlib.suppress(httpx2.HTTPError):
                await client.get(url)
                return
            if child.returncode is not None:
                break
            await asyncio.sleep(0.1)
    said = await asyncio.to_thread(log.read_text, errors="replace")
    raise RuntimeError(f"{url} did not come up:\n{said[-2000:]}")
