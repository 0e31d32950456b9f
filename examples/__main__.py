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
import socket
import sys
import tomllib
from collections.abc import Iterable, Mapping
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
    text = (HERE / name / "example.toml").read_text(encoding="utf-8")
    example = tomllib.loads(text)
    ports = {"port": port} | {f"port{n}": port + n for n in range(1, 10)}
    _check_ports(number for place, number in ports.items() if f"{{{{{place}}}}}" in text)
    with TemporaryDirectory(prefix=f"mintage-{name}-") as directory:
        places = {**ports, "directory": directory, "here": str(HERE / name)}
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


def _check_ports(ports: Iterable[int]) -> None:
    """Exit with a sentence if another program has one of *ports*."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                sys.exit(f"127.0.0.1:{port}: {error.strerror}. Choose another port with --port")


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
        ends = [asyncio.ensure_future(child.wait()) for child in children]
        answers = asyncio.ensure_future(_until_it_listens(int(str(places["port"]))))
        await asyncio.wait([*ends, answers], return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            print(f"\nOpen {_filled(opened, places)}   (Ctrl-C ends it)\n", flush=True)
        answers.cancel()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for child in children:
            if child.returncode is None:
                child.terminate()
        await asyncio.gather(*(child.wait() for child in children))


async def _until_it_listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return writer.close()


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
