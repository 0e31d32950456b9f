"""uvicorn, our cycle on it, and granian under one proxy: ``python -m benchmarks.servers``.

The application is the plain proxy of `benchmarks.proxies`: what differs is the server. granian is
not among the requirements: name its program with ``--granian``, or leave it out.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvicorn
import uvloop

from benchmarks.gateway import CLIENTS, System, _worker_of, rate
from benchmarks.load import Connection, request
from benchmarks.proxies import Mintage
from benchmarks.timing import machine
from mintage.demo.stage import process
from mintage.serving.binding import bounded
from mintage.serving.settings import ServerSection
from mintage.testing.nanoidp import free_port

BACKEND = "BENCHMARK_BACKEND"


def make_app() -> Mintage:
    """What granian serves. A pool belongs to one event loop, so it is made in the worker."""
    return Mintage(f"http://127.0.0.1:{os.environ[BACKEND]}")


def serve(server: str, port: int) -> None:
    own = bounded(ServerSection(), lambda _: False) if server == "mintage" else {}
    uvicorn.run(
        make_app(),
        host="127.0.0.1",
        port=port,
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        **own,
    )


@asynccontextmanager
async def served(server: str, directory: Path) -> AsyncIterator[System]:
    port = free_port()
    async with process(
        "benchmarks.servers", "--serve", server, str(port),
        ready=f"http://127.0.0.1:{port}/x", log=directory / f"{server}.log",
    ) as child:  # fmt: skip
        yield System(server, port, child.pid)


@asynccontextmanager
async def granian(program: str, directory: Path) -> AsyncIterator[System]:
    port = free_port()
    with (directory / "granian.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            program, "--interface", "asginl", "--factory", "--host", "127.0.0.1",
            "--port", str(port), "--loop", "uvloop", "--no-ws", "--http", "1",
            "benchmarks.servers:make_app",
            stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        try:
            await _answers(port)
            yield System("granian", port, _worker_of(child.pid))
        finally:
            child.terminate()
            await child.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                connection = await Connection.open(port)
                async with asyncio.timeout(5):
                    await connection.send(request("GET", "/x", f"127.0.0.1:{port}"))
                return connection.close()
            except (OSError, TimeoutError):
                await asyncio.sleep(0.5)


async def run(rounds: int, seconds: float, program: str | None, directory: Path) -> list[System]:
    async with AsyncExitStack() as stack:
        port = free_port()
        await stack.enter_async_context(
            process(
                "benchmarks.proxies", "backend", str(port), "0",
                ready=f"http://127.0.0.1:{port}/x", log=directory / "backend.log",
            )
        )  # fmt: skip
        os.environ[BACKEND] = str(port)
        servers = [served(name, directory) for name in ("uvicorn", "mintage")]
        servers += [granian(program, directory)] if program else []
        systems = [await stack.enter_async_context(server) for server in servers]
        for number in range(rounds):
            for system in systems if number % 2 else reversed(systems):
                await rate(system, "GET", system.asking(), seconds)
        return systems


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--granian", metavar="PROGRAM", help="its command")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return
    with (
        tempfile.TemporaryDirectory() as made,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = run(options.rounds, options.seconds, options.granian, Path(made))
        systems = runner.run(found)
    print(f"{CLIENTS} clients, {options.rounds} rounds ({machine()})\n")
    print("| server of the plain proxy | requests/s | CPU µs each |\n|---|---:|---:|")
    for system in systems:
        print(f"| {system.name} | {system.median('GET'):,.0f} | {system.median('GET, µs'):.0f} |")


if __name__ == "__main__":
    main()
