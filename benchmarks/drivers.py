"""The drivers alone: what each engine writes and reads with 32 calls at once.

::

    python -m benchmarks.drivers [sqlite|postgres|redis] [--seconds 3] [--rounds 5]

A replacement is what a refresh writes; a load is what a cold request reads. Records are as large
as those of grants with 2 KB of upstream tokens. CPU is what the engine's processes and this one
took for one call: it says more than the rate does on a machine that has other work.
"""

import argparse
import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.support.servers import Server, children

from benchmarks.engines import engines
from benchmarks.scaling import cpu_seconds
from benchmarks.timing import machine
from mintage.stores.opening import open_store
from mintage.stores.protocol import Index, Store

AT_ONCE: Final = 32
RECORD_BYTES: Final = 2534  # as docs/scaling.md counts it
FAR: Final = 2**40
NAMES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL", "redis": "Redis"}
Work = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cost:
    """*rate*: calls a second. *engine*, *own*: CPU microseconds of one call, there and here."""

    rate: float
    engine: float
    own: float

    @classmethod
    def median(cls, costs: "list[Cost]") -> "Cost":
        return cls(*(median(getattr(c, name) for c in costs) for name in cls.__slots__))


async def run(work: Work, seconds: float, server: Server | None) -> Cost:
    """What *work* comes to with `AT_ONCE` calls under way, each on a key of its own."""
    done, until = 0, time.perf_counter() + seconds

    async def one(key: bytes) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await work(key)
            done += 1

    begin, before = time.perf_counter(), cpu(server)
    await asyncio.gather(*(one(key_of(number)) for number in range(AT_ONCE)))
    took, (engine, own) = time.perf_counter() - begin, cpu(server)
    return Cost(done / took, (engine - before[0]) / done * 1e6, (own - before[1]) / done * 1e6)


def cpu(server: Server | None) -> tuple[float, float]:
    """CPU seconds so far: of the engine with all its processes, and of this process."""
    pids: list[int] = []
    if server is not None and server.child is not None:
        pids = [server.child.pid, *children(server.child.pid)]
    return sum(map(cpu_seconds, pids)), cpu_seconds(os.getpid())


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


async def measure(
    store: Store, server: Server | None, *, seconds: float, rounds: int
) -> dict[str, Cost]:
    """What a replacement (after its load) and a load cost: the medians of *rounds* in turn."""
    record = secrets.token_bytes(RECORD_BYTES)
    for number in range(AT_ONCE):
        index = Index(secrets.token_bytes(32), b"c" * 32, secrets.token_bytes(250))
        await store.insert(key_of(number), record, index, FAR)

    async def replace(key: bytes) -> None:
        seen = await store.load(key)
        assert seen is not None
        await store.replace(key, seen, record, FAR)

    async def load(key: bytes) -> None:
        assert await store.load(key) is not None

    found: dict[str, list[Cost]] = {"load and replace": [], "load": []}
    for _ in range(rounds):
        for name, work in (("load and replace", replace), ("load", load)):
            found[name].append(await run(work, seconds, server))
    return {name: Cost.median(costs) for name, costs in found.items()}


async def main(names: list[str], *, seconds: float, rounds: int) -> None:
    print(f"The drivers, {AT_ONCE} calls at once ({machine()})\n")
    print("| | /s | CPU of the engine, µs | CPU of this process, µs |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as directory, engines(Path(directory)) as found:
        for name in names:
            url, server = found[NAMES[name]]
            store = await open_store(url, clock=time.time)
            try:
                costs = await measure(store, server, seconds=seconds, rounds=rounds)
            finally:
                await store.close()
            for what, cost in costs.items():
                numbers = f"{cost.rate:,.0f} | {cost.engine:.0f} | {cost.own:.0f}"
                print(f"| {NAMES[name]}, {what} | {numbers} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drivers")
    parser.add_argument("stores", nargs="*", help=" ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    asyncio.run(main(given.stores or list(NAMES), seconds=given.seconds, rounds=given.rounds))
