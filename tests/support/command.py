"""The command as a person runs it: in another process. And processes by their ids."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


def mintage(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mintage", *arguments],
        input=given,
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
    )


CONFIG = """
issuer = "{issuer}"
store  = "sqlite://{directory}/mintage.db"
[upstream]
issuer    = "http://127.0.0.1:9"
client_id = "mintage"
[[resource]]
path       = "/mcp"
backend    = "{backend}"
credential = "none"
"""
"""One resource in front of *backend*."""

WORKERS_CONFIG = """\
issuer = "http://127.0.0.1:{port}"
store  = "{store}"
[upstream]
issuer    = "http://127.0.0.1:9"
client_id = "mintage"
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:9"
"""
"""The same for any store, with a backend that is down."""


@asynccontextmanager
async def served(
    file: Path, port: int, *rest: str, ready: bytes = b"running on"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``mintage serve`` in a process of its own, from when it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "serve", "--config", str(file), "--port", str(port), *rest,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            assert process.stderr is not None
            while ready not in await process.stderr.readline():
                pass
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def children(pid: int) -> set[int]:
    """The ids of the child processes of *pid*."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return {int(child) for child in tasks.split()}


async def is_gone(pid: int) -> bool:
    """Whether *pid* ends within a few seconds. A zombie has ended too."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except FileNotFoundError:
            return True
        if state[0] == "Z":
            return True
        await asyncio.sleep(0.05)
    return False
