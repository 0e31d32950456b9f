"""The official MCP conformance runner, and what it found."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from tests.support.node import running

RUNNER = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")

Check = tuple[str, str, str]  # scenario, check, status


async def ignore(line: str) -> None:
    """What the runner prints is for people."""


async def checks(
    *arguments: str, results: Path, heard: Callable[[str], Awaitable[None]] = ignore
) -> list[Check]:
    """Every verdict of ``conformance *arguments``, in order. *heard* gets what it prints."""
    said = []
    async with running(RUNNER, *arguments, "--output-dir", str(results)) as child:
        assert child.stdout is not None
        async for line in child.stdout:
            said.append(line.decode())
            await heard(said[-1].strip())
    found = list(_found(results))
    assert found, "".join(said)
    return found


async def until_it_listens(port: int) -> None:
    """Returns once something takes connections at *port*."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return await writer.wait_closed()


def _found(results: Path) -> Iterator[Check]:
    for file in sorted(results.glob("*/checks.json")):
        scenario = STAMP.sub("", file.parent.name)
        for check in json.loads(file.read_text()):
            if check["status"] != "INFO":  # a note on what was seen, no verdict
                yield scenario, check["id"], check["status"]
