"""What a login costs a FastMCP server: ours, FastMCP's own, and none, one process each.

Eight clients call a tool, each on a connection of its own. In each round every server does the
same work in turn, so that a slow moment of the machine hits them all; medians count.
"""

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.aims import Aim, tell
from benchmarks.bench_client import BenchClient, UnexpectedAnswer
from benchmarks.fastmcp_servers import CALL, MADE_UP, NAMES, SPOKEN
from benchmarks.gateway import System
from benchmarks.load import Connection, request
from benchmarks.shares import CALLS, Subject, measure, share
from benchmarks.systems import provider
from benchmarks.timing import machine
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

CLIENTS: Final = 8
# (of which server, against which, at least)
AIMS: Final = (
    ("mintage-sqlite", "proxy-disk", 4),
    ("mintage-memory", "proxy-memory", 1.3),
    ("mintage-memory", "oidc-memory", 1.3),
)
MOST: Final = 0.06  # of a request may be the login's


async def rate(system: System, seconds: float) -> None:
    """Calls a second with `CLIENTS` at once, and what each cost the process."""
    connections = [await Connection.open(system.port) for _ in range(CLIENTS)]
    data = request("POST", "/mcp", f"127.0.0.1:{system.port}", SPOKEN | system.headers, CALL)
    wanted = b"tools" if system.headers else b"nobody asked"
    busy, begin = system.cpu_seconds, time.perf_counter()

    async def one(connection: Connection) -> int:
        count = 0
        while time.perf_counter() < begin + seconds:
            answer = await connection.send(data)
            if answer.status != 200 or wanted not in answer.body:
                raise UnexpectedAnswer(answer, system.name)
            count += 1
        return count

    count = sum(await asyncio.gather(*map(one, connections)))
    system.note("calls", count / (time.perf_counter() - begin))
    system.note("µs", (system.cpu_seconds - busy) / count * 1e6)
    for connection in connections:
        connection.close()


@asynccontextmanager
async def serving(name: str, upstream: str, directory: Path) -> AsyncIterator[System]:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with process(
        "benchmarks.fastmcp_servers", name, str(port), upstream, str(directory),
        ready=f"{issuer}/mcp", log=directory / f"{name}.log",
    ) as child:  # fmt: skip
        system = System(name, port, child.pid)
        if name != "none":
            bench_client = BenchClient(issuer, port, f"{issuer}/mcp")
            await bench_client.register()
            session = await bench_client.redeem(await bench_client.log_in())
            bench_client.close()
            system.headers["authorization"] = f"Bearer {session.access_token}"
        yield system


async def run(rounds: int, seconds: float, directory: Path) -> dict[str, System]:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(provider(directory, lifetime=3600))
        systems = [
            await stack.enter_async_context(serving(name, upstream, directory)) for name in NAMES
        ]
        for system in systems:
            await rate(system, seconds)  # the first calls of a process are slow
            system.figures.clear()
        for _ in range(rounds):
            for system in systems:
                await rate(system, seconds)
        return {system.name: system for system in systems}


def ratio(one: System, other: System) -> float:
    """The median over the rounds of how many calls *one* took for each of *other*'s."""
    pairs = zip(one.figures["calls"], other.figures["calls"], strict=True)
    return statistics.median(a / b for a, b in pairs)


def report(systems: dict[str, System]) -> None:
    print("| login | calls/s | CPU of one, µs |\n|---|---:|---:|")
    for name, system in systems.items():
        print(f"| {name} | {system.median('calls'):,.0f} | {system.median('µs'):,.0f} |")
    print("\n| calls/s | measured | aim |\n|---|---:|---:|")
    for name, peer, least in AIMS:
        measured, most = ratio(systems[name], systems[peer]), ratio(systems["none"], systems[peer])
        print(f"| {name}, against {peer} | {measured:.2f} × | {least} × |")
        bound = f"{most:.2f} without any login"
        tell(Aim(f"FastMCP, calls/s, {name}, against {peer}", measured, least, bound=bound))


def report_shares(subjects: dict[str, Subject]) -> None:
    print(
        "\n| login, without sockets | CPU of a call, µs | its share | aim |\n|---|---:|---:|---:|"
    )
    bound = f"{share(subjects[MADE_UP], subjects['none']):.1%} for a user who is made up"
    for name, subject in subjects.items():
        spent = statistics.median(subject.times) * 1e6
        part = share(subject, subjects["none"])
        ours = name.startswith("mintage")
        cells = f"{'' if name == 'none' else f'{part:.1%}'} | {f'{MOST:.0%}' if ours else ''}"
        print(f"| {name} | {spent:,.0f} | {cells} |")
        if ours:
            what = f"FastMCP, the login's share of a call, {name}"
            tell(Aim(what, part, MOST, "%", at_most=True, bound=bound))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.integrations")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--turns", type=int, default=200, help=f"of {CALLS} calls without sockets")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        systems = runner.run(run(options.rounds, options.seconds, Path(directory)))
        gc.disable()
        subjects = runner.run(measure(options.turns, Path(directory)))
    print(f"{CLIENTS} clients, {options.rounds} rounds ({machine()})\n")
    report(systems)
    report_shares(subjects)


if __name__ == "__main__":
    main()
