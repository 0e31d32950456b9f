"""Starts an example with a login provider for development.

::

    python -m examples NAME [--port PORT]

The example's processes run until Ctrl-C, or until one of them ends.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mintage.testing.nanoidp import Person, nanoidp

HERE = Path(__file__).parent
PEOPLE = (
    Person("alice", "alice@example.org", ("admins", "staff"), "in the groups admins and staff"),
    Person("bob", "bob@example.org", ("staff",), "in the group staff"),
)


async def run(name: str, port: int) -> None:
    """Run the example *name* at *port*; it may use the nine ports above it."""
    example = tomllib.loads((HERE / name / "example.toml").read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix=f"mintage-{name}-") as directory:
        places = {"port": port, "directory": directory, "here": str(HERE / name)}
        places |= {f"port{n}": port + n for n in range(1, 10)}
        issuer = f"http://127.0.0.1:{port}"
        async with nanoidp(redirect_uri=f"{issuer}/callback", people=PEOPLE) as provider:
            environ = {
                **os.environ,
                "MINTAGE_ISSUER": issuer,
                "MINTAGE_STORE": f"sqlite://{directory}/mintage.db",
                "MINTAGE_UPSTREAM__ISSUER": provider.issuer,
                "MINTAGE_UPSTREAM__CLIENT_ID": provider.client_id,
                "UPSTREAM_SECRET": provider.client_secret,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
                **{
                    variable: _filled(value, places)
                    for variable, value in example.get("environment", {}).items()
                },
            }
            for target, source in example.get("file", {}).items():
                text = (HERE / name / source).read_text(encoding="utf-8")
                Path(directory, target).write_text(_filled(text, places), encoding="utf-8")
            await _until_one_ends(example["process"], places, environ, HERE / name, example["open"])


def _filled(text: str, places: Mapping[str, object]) -> str:
    """*text* with each ``{{name}}`` replaced."""
    for place, value in places.items():
        text = text.replace(f"{{{{{place}}}}}", str(value))
    return text


async def _until_one_ends(
    processes: list[dict[str, Any]],
    places: Mapping[str, object],
    environ: Mapping[str, str],
    directory: Path,
    opened: str,
) -> None:
    children = []
    try:
        for process in processes:
            command = [_filled(word, places) for word in process["command"]]
            children.append(
                await asyncio.create_subprocess_exec(*command, cwd=directory, env=environ)
            )
        print(f"\nOpen {_filled(opened, places)}   (Ctrl-C ends it)\n", flush=True)
        await asyncio.wait(
            [asyncio.ensure_future(child.wait()) for child in children],
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for child in children:
            if child.returncode is None:
                child.terminate()
        await asyncio.gather(*(child.wait() for child in children))


async def main() -> None:
    """Run the example that is named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples")
    names = sorted(path.parent.name for path in HERE.glob("*/example.toml"))
    parser.add_argument("name", choices=names)
    parser.add_argument("--port", type=int, default=8080)
    chosen = parser.parse_args()
    work = asyncio.ensure_future(run(chosen.name, chosen.port))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    asyncio.run(main())
