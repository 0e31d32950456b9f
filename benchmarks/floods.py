"""What floods from strangers cost a server: its memory, its open files, and ``/healthz``.

``python -m benchmarks.floods``: each flood meets a fresh ``mintage serve`` on loopback, and is
bounded in bytes, connections and seconds. ``--source DIR`` runs the package in DIR instead, to
compare another version: without ``[server]``, which an older one does not know.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.timing import machine
from mintage.testing.nanoidp import free_port

SECONDS: Final = 20
SENDERS: Final = 16
HELD: Final = 800  # connections of a flood that sends next to nothing
MANY: Final = 3000
KEPT: Final = 2000  # connections with a request that was answered, and no more; of 4 addresses
BYTES: Final = 64 * 1024 * 1024  # that a flood of bytes sends at most, over all its connections
SMALL_BYTES: Final = 12 * 1024 * 1024  # of small headers, each of which costs an object
_HEAD: Final = b"POST /healthz HTTP/1.1\r\nhost: x\r\n"
_FORM: Final = (
    b"POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    b"content-length: 60000\r\n\r\n"
)
_CHUNKED: Final = _HEAD + b"transfer-encoding: chunked\r\n\r\n"

CONFIG: Final = """
issuer = "http://127.0.0.1:{port}"
store  = "sqlite://{directory}/mintage.db"
[upstream]
issuer    = "https://login.example.com"
client_id = "mintage"
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:9"
"""
BOUNDS: Final = """
[server]
head_seconds = 5
body_seconds = 5
max_connections = 1500
max_connections_per_address = 1024
"""

Writer = asyncio.StreamWriter
Flood = Callable[[int], Awaitable[None]]


async def _poured(port: int, begin: bytes, more: bytes, limit: int) -> None:
    """Bytes without end on some connections, each opened again when it was ended."""
    budget = limit

    async def pour() -> None:
        nonlocal budget
        while budget > 0:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(begin)
                    while budget > 0 and not writer.is_closing():
                        budget -= len(more)
                        writer.write(more)
                        await writer.drain()
                    await asyncio.sleep(SECONDS)
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    await asyncio.gather(*(pour() for _ in range(SENDERS)))


async def _held(port: int, begin: bytes, drop: bytes, count: int) -> None:
    """*count* connections, each of which sends *drop* now and then."""
    writers: list[Writer] = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begin)
            writers.append(writer)
    while True:
        for writer in writers:
            if not writer.is_closing():
                writer.write(drop)
        await asyncio.sleep(0.5)


async def _kept(port: int) -> None:
    """Connections that are idle: each was good for one request."""
    kept = []
    for number in range(KEPT):
        source = (f"127.0.1.{number % 4 + 1}", 0)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            kept.append(writer)
    await asyncio.sleep(SECONDS)


FLOODS: Final[dict[str, Flood]] = {
    "one value without end": lambda port: _poured(
        port, b"GET / HTTP/1.1\r\nx: ", b"a" * 65536, BYTES
    ),
    "one name without end": lambda port: _poured(port, b"GET / HTTP/1.1\r\nx", b"a" * 65536, BYTES),
    "one URL without end": lambda port: _poured(port, b"GET /", b"a" * 65536, BYTES),
    "small headers without end": lambda port: _poured(
        port, b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 8192, SMALL_BYTES
    ),
    "trailers without end": lambda port: _poured(
        port, _CHUNKED + b"0\r\n", b"a: b\r\n" * 8192, SMALL_BYTES
    ),
    "pipelined requests": lambda port: _poured(
        port, b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 1024, SMALL_BYTES
    ),
    f"{HELD} slow heads": lambda port: _held(port, _HEAD + b"x: ", b"a", HELD),
    f"{HELD} slow bodies": lambda port: _held(port, _FORM, b"a", HELD),
    f"{HELD} half-open connections": lambda port: _held(port, b"", b"", HELD),
    f"{MANY} connections of one address": lambda port: _held(port, b"", b"", MANY),
    f"{KEPT} idle connections": _kept,
}


@dataclass
class Seen:
    """Of one flood: megabytes on top at the peak, open files at the peak and the end, latencies.

    *cpu*: seconds of CPU that the server took. *own_ms*: the worst latency, less the time in which
    the server, or the one who asks, was ready to run and other programs had the cores.
    """

    megabytes: float
    cpu: float
    files: int
    files_left: int
    median_ms: float
    worst_ms: float
    own_ms: float
    unanswered: int

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.megabytes:.0f} | {self.cpu:.1f} | {self.files} | {self.files_left} "
            f"| {self.median_ms:.1f} | {self.worst_ms:.0f} | {self.own_ms:.0f} "
            f"| {self.unanswered} |"
        )


@asynccontextmanager
async def served(source: Path | None, directory: Path) -> AsyncIterator[tuple[int, int]]:
    """(pid, port) of a fresh server."""
    port, file = free_port(), directory / "mintage.toml"
    bounds = "" if source else BOUNDS
    file.write_text(CONFIG.format(port=port, directory=directory) + bounds, encoding="utf-8")
    environ = dict(os.environ) | ({"PYTHONPATH": str(source)} if source else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "serve", "--config", str(file), "--port", str(port),
        env=environ, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"running on" not in (line := await process.stderr.readline()):
        assert line, "the server did not start"
    drain = asyncio.create_task(process.stderr.read())
    try:
        yield process.pid, port
    finally:
        process.kill()
        await process.wait()
        drain.cancel()


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def _kept_waiting(pid: int) -> float:
    """Milliseconds in which two processes, *pid* and this one, have waited for a core."""
    files = (Path(f"/proc/{each}/schedstat") for each in (pid, "self"))
    return sum(int(file.read_text(encoding="ascii").split()[1]) for file in files) / 1e6


async def _asked(port: int) -> float:
    """Milliseconds of one ``/healthz``, from another address. Raises ``OSError``."""
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        if b" 200 " not in await asyncio.wait_for(reader.readline(), 5):
            raise OSError("not well")
    finally:
        writer.close()
    return (time.perf_counter() - begin) * 1e3


async def measure(name: str, source: Path | None) -> Seen:
    with tempfile.TemporaryDirectory() as directory:
        async with served(source, Path(directory)) as (pid, port):
            await _asked(port)
            spent = _cpu(pid)
            before, peak, most, unanswered = _megabytes(pid), 0.0, 0, 0
            latencies, own = list[float](), list[float]()
            flood = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.floods", "--flood", name, "--port", str(port)
            )
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                peak = max(peak, _megabytes(pid))
                most = max(most, len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208
                waited = _kept_waiting(pid)
                try:
                    latencies.append(await _asked(port))
                    own.append(latencies[-1] - (_kept_waiting(pid) - waited))
                except (OSError, TimeoutError):
                    unanswered += 1
                await asyncio.sleep(0.05)
            spent = _cpu(pid) - spent
            left = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
            flood.kill()
            await flood.wait()
    return Seen(
        megabytes=peak - before,
        cpu=spent,
        files=most,
        files_left=left,
        median_ms=statistics.median(latencies or [float("inf")]),
        worst_ms=max(latencies or [float("inf")]),
        own_ms=max(own or [float("inf")]),
        unanswered=unanswered,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="the src directory of another version")
    parser.add_argument("--only", default="", help="floods whose name holds this")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.flood:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        asyncio.run(FLOODS[arguments.flood](arguments.port))  # type: ignore[arg-type]
        return
    print(machine())
    print(
        "| flood | MB on top | CPU s | files | files left | median ms | worst ms | less waiting "
        "| unanswered |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in (name for name in FLOODS if arguments.only in name):
        print(asyncio.run(measure(name, arguments.source)).row(name), flush=True)


if __name__ == "__main__":
    main()
