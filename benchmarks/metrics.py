"""What metrics and traces cost a request through the gateway: the same server with and without.

One process each, in front of the same backend, in turn. The figure that counts is the processor
time of a request: it does not depend on what else the machine does.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.aims import Aim, tell
from benchmarks.gateway import CLIENTS, System, rate
from benchmarks.systems import mintage, provider
from benchmarks.timing import machine
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

GOAL: Final = 0.05  # of metrics; traces cost what they cost
SAMPLED: Final = 0.1  # of the requests are recorded in traces
OFF: Final = "off"


@asynccontextmanager
async def server(name: str, backend: int, more: str) -> AsyncIterator[System]:
    """Mintage with the settings *more*."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        async with _server(name, backend, directory, more) as system:
            yield system


@asynccontextmanager
async def _server(name: str, backend: int, directory: Path, more: str) -> AsyncIterator[System]:
    async with provider(directory, lifetime=3600) as upstream:
        store = f"sqlite://{directory}/mintage.db"
        servers = mintage(
            directory / "mintage", upstream, store, backend=f"http://127.0.0.1:{backend}"
        )
        servers.file.write_text(servers.file.read_text() + more)
        async with servers.serving() as child:
            bench_client = servers.bench_client()
            await bench_client.register()
            session = await bench_client.redeem(await bench_client.log_in())
            bench_client.close()
            headers = {"authorization": f"Bearer {session.access_token}"}
            yield System(name, servers.ports[0], child.pid, "/mcp", headers)


async def run(rounds: int, seconds: float, directory: Path) -> list[System]:
    async with AsyncExitStack() as stack:
        enter, port = stack.enter_async_context, free_port()
        await enter(
            process(
                "benchmarks.proxies", "backend", str(port), "0",
                ready=f"http://127.0.0.1:{port}/x", log=directory / "backend.log",
            )
        )  # fmt: skip
        metrics = f'[metrics]\nlisten = "127.0.0.1:{free_port()}"\n'
        traces = "[opentelemetry]\n"
        # The backend takes the spans: it answers everything with 200.
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        os.environ["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
        os.environ["OTEL_TRACES_SAMPLER_ARG"] = str(SAMPLED)
        systems = [
            await enter(server(name, port, more))
            for name, more in ((OFF, ""), ("metrics", metrics), ("traces", traces))
        ]
        for system in systems:
            await rate(system, "warm", system.asking(), seconds)
        for number in range(rounds):
            for system in systems if number % 2 else reversed(systems):
                await rate(system, "GET", system.asking(), seconds)
        return systems


def report(systems: list[System]) -> None:
    off = next(system for system in systems if system.name == OFF)
    print("| | requests/s | CPU µs each | against off | goal |")
    print("|---|---:|---:|---:|---:|")
    for system in systems:
        pairs = zip(system.figures["GET, µs"], off.figures["GET, µs"], strict=True)
        more = statistics.median(ours / theirs for ours, theirs in pairs)
        goal = f"{1 + GOAL:.2f} ×" if system.name == "metrics" else ""
        if goal:
            tell(Aim("metrics, against none, CPU of a request", more, 1 + GOAL, at_most=True))
        print(
            f"| {system.name} | {system.median('GET'):,.0f} | {system.median('GET, µs'):.0f} "
            f"| {more:.3f} × | {goal} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        systems = runner.run(run(options.rounds, options.seconds, Path(directory)))
    sampled = f"{SAMPLED:.0%} of the requests are recorded in traces"
    print(f"{CLIENTS} clients, {options.rounds} rounds, {sampled} ({machine()})\n")
    report(systems)


if __name__ == "__main__":
    main()
