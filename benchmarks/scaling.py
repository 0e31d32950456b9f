"""The capacity model of docs/scaling.md, checked: a Redis Cluster of 3 and 4 Mintage processes.

Each kind of operation runs alone, and what it costs is taken from the processes' own CPU time
and the stores' own counts. From that the model says what a mix will cost; then the mix runs.
"""

import argparse
import asyncio
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import uvloop
from tests.support.servers import Server, program

from benchmarks.bench_client import BenchClient, Session, UnexpectedAnswer
from benchmarks.engines import redis_cluster
from benchmarks.systems import mintage, provider
from benchmarks.timing import machine

PROCESSES, CLIENTS = 4, 16
MIX: Final = {"login": 0.02, "refresh": 0.18, "request": 0.80}
# One request in five comes right after a change of its grant, and reads it anew; what such a
# request costs is what the pair costs, less the refresh.
MODEL: Final = {"login": 0.02, "refresh": 0.02, "request": 0.64, "refresh, request": 0.16}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation: CPU in milliseconds of each party, and commands of the cluster."""

    mintage: float
    redis: float
    others: float  # the clients and the provider, which share the machine with the rest
    commands: float

    @classmethod
    def mixed(cls, costs: "dict[str, Cost]") -> "Cost":
        """What the model says of an average operation of `MIX`."""
        names = ("mintage", "redis", "others", "commands")
        return cls(
            **{
                n: sum(MODEL[kind] * getattr(cost, n) for kind, cost in costs.items())
                for n in names
            }
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads CPU times and counts of the processes of a running system."""

    workers: list[int]
    servers: list[Server]
    provider: int

    def read(self) -> tuple[float, float, float, int]:
        """CPU seconds of Mintage, Redis and all others, and the cluster's commands so far."""
        redis = [server.child.pid for server in self.servers if server.child is not None]
        others = cpu_seconds(os.getpid()) + cpu_seconds(self.provider)
        return (
            sum(map(cpu_seconds, self.workers)),
            sum(map(cpu_seconds, redis)),
            others,
            sum(map(commands, self.servers)),
        )


@dataclass
class Crowd:
    """Clients that do one thing after another, each with a login of its own."""

    bench_clients: list[BenchClient]
    sessions: dict[int, Session] = field(default_factory=dict)

    async def do(self, kind: str, number: int) -> None:
        bench_client = self.bench_clients[number]
        match kind:
            case "login":
                self.sessions[number] = await bench_client.redeem(await bench_client.log_in())
            case "refresh":
                self.sessions[number] = await bench_client.refresh(self.sessions[number])
            case "refresh, request":
                await self.do("refresh", number)
                await self.do("request", number)
            case _:
                answer = await bench_client.call(self.sessions[number])
                if answer.status != 200:
                    raise UnexpectedAnswer(answer, "/mcp")

    async def run(self, choose: Callable[[], str], seconds: float) -> int:
        """How many operations were done."""
        until = time.monotonic() + seconds

        async def one(number: int) -> int:
            done = 0
            while time.monotonic() < until:
                await self.do(choose(), number)
                done += 1
            return done

        return sum(await asyncio.gather(*map(one, range(len(self.bench_clients)))))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def commands(server: Server) -> int:
    """Commands that a node has run, those inside scripts among them."""
    command = [program("redis-cli"), "-p", str(server.port), "info", "stats"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return int(text.split("total_commands_processed:")[1].split()[0])


async def measured(meter: Meter, work: Callable[[], Awaitable[int]]) -> tuple[float, Cost]:
    """(operations/s, cost of one) of *work*, which returns how many it did."""
    before, begin = meter.read(), time.monotonic()
    count = await work()
    took = time.monotonic() - begin
    ours, redis, others, asked = (
        (b - a) / count for a, b in zip(before, meter.read(), strict=True)
    )
    return count / took, Cost(ours * 1000, redis * 1000, others * 1000, asked)


async def run(seconds: float, directory: Path) -> None:
    async with provider(directory, lifetime=3600) as upstream:
        with redis_cluster(directory) as (url, nodes):
            system = mintage(directory / "mintage", upstream, url)
            async with system.serving(workers=PROCESSES) as parent:
                bench_clients = [system.bench_client() for _ in range(CLIENTS)]
                await bench_clients[0].register()
                for bench_client in bench_clients:
                    bench_client.client_id = bench_clients[0].client_id
                found = [pid for pid in children(os.getpid()) if pid != parent.pid]
                upstream_pid = next(pid for pid in found if "benchmarks.upstream" in name_of(pid))
                meter = Meter(children(parent.pid), nodes, upstream_pid)
                await check(meter, Crowd(bench_clients), seconds)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")


async def check(meter: Meter, crowd: Crowd, seconds: float) -> None:
    costs: dict[str, Cost] = {}
    print("| alone | /s | Mintage CPU, ms | Redis CPU, ms | commands |\n|---|---:|---:|---:|---:|")
    for kind in MODEL:
        rate, cost = await measured(meter, partial(crowd.run, partial(str, kind), seconds))
        costs[kind] = cost
        cpu = f"{cost.mintage:.2f} | {cost.redis:.3f}"
        print(f"| {kind} | {rate:,.0f} | {cpu} | {cost.commands:.1f} |")
    kinds, weights = list(MIX), list(MIX.values())
    rate, mixed = await measured(
        meter,
        lambda: crowd.run(lambda: random.choices(kinds, weights)[0], seconds * 2),  # noqa: S311
    )
    model = Cost.mixed(costs)
    cores = len(os.sched_getaffinity(0))
    total = model.mintage + model.redis + model.others
    words = ", ".join(f"{share:.0%} {kind}" for kind, share in MIX.items())
    print(f"\n| a mix: {words} | model | measured |\n|---|---:|---:|")
    print(f"| Mintage CPU, ms | {model.mintage:.2f} | {mixed.mintage:.2f} |")
    print(f"| Redis CPU, ms | {model.redis:.3f} | {mixed.redis:.3f} |")
    print(f"| cluster commands | {model.commands:.2f} | {mixed.commands:.2f} |")
    most = cores * 1000 / total
    print(f"| operations/s, if {cores} cores did nothing else | {most:,.0f} | {rate:,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--seconds", type=float, default=10, help="for each kind of operation")
    options = parser.parse_args()
    print(
        f"{PROCESSES} Mintage processes, a Redis Cluster of 3 (appendfsync always), "
        f"{CLIENTS} clients ({machine()})\n"
    )
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run(options.seconds, Path(directory)))


if __name__ == "__main__":
    main()
