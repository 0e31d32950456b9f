"""``mintage serve --workers 2`` against one: ``python -m benchmarks.workers``.

The clients and the backend run on the same machine, and take a part of its cores. So the rate says
what is left for two workers there. The CPU time of a request says what a second worker adds to it.
wrk sends the requests and nginx answers them where they are installed: they take less of the cores
than clients and a backend of our own. What all processes together take for a request, with one
worker, says how many times its rate the cores allow at most.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.aims import Aim, tell
from benchmarks.forward_auth import backend
from benchmarks.gateway import CLIENTS, System, rate
from benchmarks.systems import mintage, provider
from benchmarks.timing import machine
from benchmarks.wrk import by_wrk
from mintage.testing.nanoidp import free_port

COUNTS: Final = (1, 2)
AIM: Final = 1.7


class Tree(System):
    """A server with workers: *pid* is their parent."""

    @property
    def cpu_seconds(self) -> float:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        processes = [self.pid, *map(int, children)]
        each = (System(self.name, self.port, pid) for pid in processes)
        return sum(one.cpu_seconds for one in each)


def busy_seconds() -> float:
    """What all processes of the machine have taken of its cores."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _waiting, *interrupts = map(int, fields[:7])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def served(workers: int, backend: int, directory: Path) -> AsyncIterator[System]:
    made = directory / str(workers)
    made.mkdir()
    async with provider(made, lifetime=3600) as upstream:
        store = f"sqlite://{made}/mintage.db"
        servers = mintage(made, upstream, store, backend=f"http://127.0.0.1:{backend}")
        async with servers.serving(workers=workers) as child:
            client = servers.bench_client()
            await client.register()
            session = await client.redeem(await client.log_in())
            client.close()
            headers = {"authorization": f"Bearer {session.access_token}"}
            yield Tree(f"{workers}", servers.ports[0], child.pid, "/mcp", headers)


async def run(rounds: int, seconds: int, directory: Path) -> list[System]:
    async with AsyncExitStack() as stack:
        port = free_port()
        kind = "ASGI" if shutil.which("nginx") is None else "nginx"
        await stack.enter_async_context(backend(kind, directory, port))
        systems = [
            await stack.enter_async_context(served(count, port, directory)) for count in COUNTS
        ]
        for number in range(rounds):
            for system in systems if number % 2 else reversed(systems):
                await _turn(system, seconds)
        return systems


async def _turn(system: System, seconds: int) -> None:
    wrk = shutil.which("wrk")
    if wrk is None:
        return await rate(system, "GET", system.asking(), seconds)
    url = f"http://127.0.0.1:{system.port}{system.prefix}/x"
    busy, everyone, begin = system.cpu_seconds, busy_seconds(), time.perf_counter()
    found, _ = await by_wrk(wrk, url, system.headers, clients=CLIENTS, seconds=seconds)
    requests = found * (time.perf_counter() - begin)
    system.note("GET", found)
    system.note("GET, µs", (system.cpu_seconds - busy) / requests * 1e6)
    system.note("all, µs", (busy_seconds() - everyone) / requests * 1e6)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as made,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        systems = runner.run(run(options.rounds, options.seconds, Path(made)))
    load = "of our own" if shutil.which("wrk") is None else "of wrk"
    print(
        f"{CLIENTS} clients {load}, and the backend, on {os.cpu_count()} cores too ({machine()})\n"
    )
    print(
        "| workers | requests/s | CPU µs each | rate against one | aim |\n|---|---:|---:|---:|---:|"
    )
    one, bound, share = systems[0], "", 0.0
    for system in systems:
        pairs = zip(system.figures["GET"], one.figures["GET"], strict=True)
        share = statistics.median(ours / theirs for ours, theirs in pairs)
        aim = f"{AIM} ×" if system is not one else ""
        print(
            f"| {system.name} | {system.median('GET'):,.0f} | {system.median('GET, µs'):.0f} "
            f"| {share:.2f} × | {aim} |"
        )
    if "all, µs" in one.figures:
        every, cores = one.median("all, µs"), os.cpu_count() or 1
        most = cores * 1e6 / every / one.median("GET")
        bound = f"these cores allow {most:.2f} ×"
        print(
            f"\nWith clients and backend, one worker's request takes {every:.0f} µs of {cores} "
            f"cores: they allow at most {most:.2f} × its rate."
        )
    tell(Aim("gateway, two workers against one", share, AIM, bound=bound))


if __name__ == "__main__":
    main()
