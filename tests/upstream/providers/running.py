"""Other people's providers as processes of their own, on free loopback ports."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from mintage.testing.nanoidp import free_port
from tests.support.node import node

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]


@asynccontextmanager
async def oidc_provider(**settings: Any) -> AsyncIterator[str]:
    """The issuer of a running ``oidc-provider``."""
    port = free_port()
    script = [str(node()), str(HERE / "oidc_provider.mjs")]
    async with provider_process(
        *script, json.dumps({"port": port, **settings}), port=port
    ) as issuer:
        yield issuer


@asynccontextmanager
async def authlib_provider(**settings: Any) -> AsyncIterator[str]:
    """The issuer of a running provider that is made of Authlib."""
    port = free_port()
    module = [sys.executable, "-m", "tests.upstream.providers.authlib_provider"]
    async with provider_process(
        *module, json.dumps({"port": port, **settings}), port=port
    ) as issuer:
        yield issuer


@asynccontextmanager
async def provider_process(*command: str, port: int) -> AsyncIterator[str]:
    child = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    said = asyncio.create_task(child.stderr.read())
    issuer = f"http://127.0.0.1:{port}"
    try:
        await _wait(f"{issuer}/.well-known/openid-configuration", child, said)
        yield issuer
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
        await said


async def _wait(url: str, child: asyncio.subprocess.Process, said: "asyncio.Task[bytes]") -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(600):
            with contextlib.suppress(httpx2.HTTPError):
                await client.get(url)
                return
            if child.returncode is not None:
                raise RuntimeError(f"it did not start: {(await said).decode()[-2000:]}")
            await asyncio.sleep(0.05)
    raise RuntimeError("it did not come up")
