"""The gateway in front of a backend, against plain proxies and nginx: one process each.

The clients live in this process, the backend in one of its own. In each round everybody does
the same work in turn, so that a slow moment of the machine hits them all; medians count.
"""

import argparse
import asyncio
import importlib.util
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.aims import Aim, tell
from benchmarks.bench_client import UnexpectedAnswer
from benchmarks.load import Connection, request
from benchmarks.proxies import SMALL
from benchmarks.systems import mintage, provider
from benchmarks.timing import machine
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

CLIENTS: Final = 8
GIGABYTE: Final = 1_000_000_000
STREAMS: Final = 1000
_PIECE: Final = bytes(1 << 20)
# What the gateway has to reach: of whose rate; the growth at a gigabyte; memory for a stream
AIMS: Final = {"plain, httpx2": 4, "plain, mintage": 0.8, "nginx": 0.15}
GROWN: Final = 10  # MB
STREAM_KIB: Final = 12

NGINX: Final = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@dataclass
class System:
    """Who answers at *port*, under *prefix*; *pid* is the process that is looked at."""

    name: str
    port: int
    pid: int
    prefix: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def asking(self, path: str = "/x", method: str = "GET", body: bytes = b"") -> bytes:
        headers = {"accept": "*/*", "user-agent": "benchmark"} | self.headers
        return request(method, self.prefix + path, f"127.0.0.1:{self.port}", headers, body)

    def note(self, what: str, figure: float) -> None:
        self.figures.setdefault(what, []).append(figure)

    def median(self, what: str) -> float:
        return statistics.median(self.figures[what])

    @property
    def cpu_seconds(self) -> float:
        """Of all its threads, to the nanosecond: ticks are too coarse for a small difference."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes in memory now; the most there ever were is ``VmHWM``."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024
        raise LookupError(what)


async def rate(system: System, what: str, data: bytes, seconds: float) -> None:
    """Requests a second with `CLIENTS` at once, and what each cost the process."""
    connections = [await Connection.open(system.port) for _ in range(CLIENTS)]
    busy, begin = system.cpu_seconds, time.perf_counter()

    async def one(connection: Connection) -> int:
        count = 0
        while time.perf_counter() < begin + seconds:
            answer = await connection.send(data)
            if answer.status != 200 or len(answer.body) != SMALL:
                raise UnexpectedAnswer(answer, system.name)
            count += 1
        return count

    count = sum(await asyncio.gather(*map(one, connections)))
    took = time.perf_counter() - begin
    system.note(what, count / took)
    system.note(f"{what}, µs", (system.cpu_seconds - busy) / count * 1e6)
    for connection in connections:
        connection.close()


async def latency(system: System, per_second: int, seconds: float) -> list[float]:
    """Milliseconds of each of *per_second* requests, which start on time whatever comes back."""
    free = [await Connection.open(system.port) for _ in range(16)]
    data, found = system.asking(), list[float]()

    async def one(due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        connection = free.pop() if free else await Connection.open(system.port)
        begin = time.perf_counter()
        await connection.send(data)
        found.append((time.perf_counter() - begin) * 1000)
        free.append(connection)

    begin = time.perf_counter() + 0.1
    dues = [begin + number / per_second for number in range(int(per_second * seconds))]
    await asyncio.gather(*map(one, dues))
    for connection in free:
        connection.close()
    return found


async def large(system: System, *, up: bool) -> None:
    """One body of a gigabyte: bytes a second, and by how much the process grew at most."""
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port, limit=1 << 20)
    system.forget_peak()
    before, begin = system.memory(), time.perf_counter()
    if up:
        head = system.asking(method="POST").replace(
            b"content-length: 0", b"content-length: %d" % GIGABYTE
        )
        writer.write(head)
        for at in range(0, GIGABYTE, len(_PIECE)):
            writer.write(_PIECE[: GIGABYTE - at])
            await writer.drain()
    else:
        writer.write(system.asking(f"/big/{GIGABYTE}"))
    received, wanted = 0, SMALL if up else GIGABYTE
    head_left = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head_left.splitlines()[0]:
        raise ValueError(f"{system.name}: {head_left!r}")
    while received < wanted:
        chunk = await reader.read(1 << 20)
        if not chunk:
            raise ConnectionError(f"{system.name}: only {received} bytes")
        received += len(chunk)
    what = "up" if up else "down"
    system.note(f"{what}, MB/s", GIGABYTE / 1e6 / (time.perf_counter() - begin))
    system.note(f"{what}, growth", (system.memory("VmHWM") - before) / 1e6)
    writer.close()


async def idle_streams(system: System) -> None:
    """`STREAMS` event streams that are open and say nothing: memory for each."""
    data, before = system.asking("/events"), system.memory()
    writers = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
        writer.write(data)
        await reader.readuntil(b"data: 1\n\n")
        writers.append(writer)
    await asyncio.sleep(1)
    system.note("stream, KiB", (system.memory() - before) / 1024 / STREAMS)
    for writer in writers:
        writer.close()
    await asyncio.sleep(1)


@asynccontextmanager
async def plain(engine: str, backend: int, directory: Path) -> AsyncIterator[System]:
    port = free_port()
    async with process(
        "benchmarks.proxies", engine, str(port), str(backend),
        ready=f"http://127.0.0.1:{port}/x", log=directory / f"{engine}.log",
    ) as child:  # fmt: skip
        yield System(f"plain, {engine}", port, child.pid)


@asynccontextmanager
async def gateway(backend: int, directory: Path) -> AsyncIterator[System]:
    async with provider(directory, lifetime=3600) as upstream:
        servers = mintage(
            directory / "mintage", upstream, "memory://", backend=f"http://127.0.0.1:{backend}"
        )
        async with servers.serving() as child:
            bench_client = servers.bench_client()
            await bench_client.register()
            session = await bench_client.redeem(await bench_client.log_in())
            bench_client.close()
            headers = {"authorization": f"Bearer {session.access_token}"}
            yield System("Mintage", servers.ports[0], child.pid, "/mcp", headers)


def _worker_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@asynccontextmanager
async def nginx(program: str, backend: int, directory: Path) -> AsyncIterator[System]:
    port, file = free_port(), directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, backend=backend, port=port))
    child = await asyncio.create_subprocess_exec(program, "-c", str(file), "-p", str(directory))
    try:
        await asyncio.sleep(1)
        yield System("nginx", port, _worker_of(child.pid))
    finally:
        child.terminate()
        await child.wait()


async def run(rounds: int, seconds: float, directory: Path) -> list[System]:
    async with AsyncExitStack() as stack:
        enter, port = stack.enter_async_context, free_port()
        behind = await enter(
            process(
                "benchmarks.proxies", "backend", str(port), "0",
                ready=f"http://127.0.0.1:{port}/x", log=directory / "backend.log",
            )
        )  # fmt: skip
        engines = ["mintage", "httpx2"] + ["aiohttp"] * bool(importlib.util.find_spec("aiohttp"))
        systems = [await enter(gateway(port, directory))]
        systems += [await enter(plain(engine, port, directory)) for engine in engines]
        if (program := shutil.which("nginx")) is not None:
            systems.append(await enter(nginx(program, port, directory)))
        direct = System("nobody between", port, behind.pid)
        for _ in range(rounds):
            for system in systems:
                await rate(system, "GET", system.asking(), seconds)
                posting = system.asking(method="POST", body=bytes(SMALL))
                await rate(system, "POST", posting, seconds)
        for _ in range(rounds):
            for system in (direct, *systems[:2]):
                found = statistics.quantiles(await latency(system, 200, 4 * seconds), n=100)
                system.note("p50, ms", found[49])
                system.note("p99, ms", found[98])
        for system in systems[:2]:
            await large(system, up=False)
            await large(system, up=True)
            await idle_streams(system)
        return [direct, *systems]


def report(systems: list[System]) -> None:
    direct, ours, same, *others = systems
    print(f"| | GET of {SMALL} bytes, requests/s (CPU µs each) | POST of as many |")
    print("|---|---:|---:|")
    for system in (ours, same, *others):
        cells = (
            f"{system.median(w):,.0f} ({system.median(f'{w}, µs'):.0f})" for w in ("GET", "POST")
        )
        print(f"| {system.name} | " + " | ".join(cells) + " |")
    print("\n| Mintage, against | GET | POST | aim |\n|---|---:|---:|---:|")
    for system in (same, *others):
        shares = {what: _share(ours, system, what) for what in ("GET", "POST")}
        ratios = " | ".join(f"{share:.2f} ×" for share in shares.values())
        aim = AIMS.get(system.name)
        print(f"| {system.name} | {ratios} | {'' if aim is None else f'{aim} ×'} |")
        if aim is not None:
            tell(*(Aim(f"gateway, {w}, against {system.name}", s, aim) for w, s in shares.items()))
    print("\n| | Mintage | plain, mintage | aim |\n|---|---:|---:|---:|")
    for what, most in (("p50, ms", 1.5), ("p99, ms", 8)):
        added = [
            statistics.median(
                a - b for a, b in zip(s.figures[what], direct.figures[what], strict=True)
            )
            for s in (ours, same)
        ]
        print(f"| added at 200 requests/s, {what} | {added[0]:.2f} | {added[1]:.2f} | {most} |")
        tell(Aim(f"gateway, added {what[:3]}", added[0], most, "ms", at_most=True))
    for what, name, size in (
        ("down, MB/s", "1 GB down, MB/s", ""), ("down, growth", "memory grew by, MB", GROWN),
        ("up, MB/s", "1 GB up, MB/s", ""), ("up, growth", "memory grew by, MB", GROWN),
        ("stream, KiB", f"{STREAMS} idle event streams, KiB each", STREAM_KIB),
    ):  # fmt: skip
        print(f"| {name} | {ours.median(what):.1f} | {same.median(what):.1f} | {size} |")
    bound = f"{same.median('stream, KiB'):.1f} KiB without a login"
    tell(
        Aim("gateway, 1 GB down, growth", ours.median("down, growth"), GROWN, "MB", at_most=True),
        Aim("gateway, 1 GB up, growth", ours.median("up, growth"), GROWN, "MB", at_most=True),
        Aim(
            "an idle event stream", ours.median("stream, KiB"), STREAM_KIB, "KiB",
            at_most=True, bound=bound,
        ),
    )  # fmt: skip


def _share(ours: System, theirs: System, what: str) -> float:
    pairs = zip(ours.figures[what], theirs.figures[what], strict=True)
    return statistics.median(a / b for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        systems = runner.run(run(options.rounds, options.seconds, Path(directory)))
    print(f"{CLIENTS} clients, {options.rounds} rounds ({machine()})\n")
    report(systems)


if __name__ == "__main__":
    main()
