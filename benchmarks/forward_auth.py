"""nginx that asks Mintage before each request, against the same nginx that asks nobody.

The configuration is the manual's. Behind both is one server: once an ASGI app that does nothing,
which is the least that a Python server costs, and once another nginx, which costs next to nothing.
``python -m benchmarks.forward_auth backend PORT`` is that app.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from benchmarks.aims import Aim, tell
from benchmarks.bench_client import BenchClient
from benchmarks.endpoints import LONG, System, Work
from benchmarks.load import request
from benchmarks.systems import mintage, provider
from benchmarks.timing import machine
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

AIM: Final = 0.5
WHAT: Final = "a small request"
SMALL: Final = 1024  # bytes of each answer
PAGE: Final = Path(__file__).parents[1] / "docs/how-to/ask-from-another-proxy.md"
_FRAME: Final = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{servers}
}}
"""
_PLAIN: Final = """
server {
    listen 127.0.0.1:PORT;
    location / {
        proxy_pass http://tools;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_buffering off;
        proxy_request_buffering off;
    }
}
"""
_BACKEND: Final = "server { listen 127.0.0.1:PORT; return 200 TEXT; }"


def front(*, asking: int, plain: int, mintage: int, tools: int) -> str:
    """The manual's servers: on port *asking* as they are, on *plain* without any question."""
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    block = re.sub(r"^ *ssl_certificate.*\n", "", block, flags=re.MULTILINE)
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{asking};"),
        ("127.0.0.1:8080", f"127.0.0.1:{mintage}"),
        ("127.0.0.1:8000", f"127.0.0.1:{tools}"),
    ):
        block = block.replace(old, new)
    return block + _PLAIN.replace("PORT", str(plain))


@asynccontextmanager
async def nginx(directory: Path, servers: str, *, port: int) -> AsyncIterator[None]:
    """nginx with *servers*, from when it listens on *port* until the block ends."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise SystemExit("this benchmark needs nginx")
    file = _written(directory, servers)
    child = await asyncio.create_subprocess_exec(program, "-p", str(directory), "-c", str(file))
    try:
        await _listening(port)
        yield
    finally:
        child.terminate()
        await child.wait()


def _written(directory: Path, servers: str) -> Path:
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(_FRAME.format(directory=directory, servers=servers), encoding="utf-8")
    return file


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return writer.close()


@asynccontextmanager
async def backend(kind: str, directory: Path, port: int) -> AsyncIterator[None]:
    """What nginx stands in front of, on *port*: each answer has a kilobyte."""
    if kind == "ASGI":
        async with process(
            "benchmarks.forward_auth", "backend", str(port),
            ready=f"http://127.0.0.1:{port}/", log=directory / "backend.log",
        ):  # fmt: skip
            yield
    else:
        text = _BACKEND.replace("PORT", str(port)).replace("TEXT", f"'{'x' * SMALL}'")
        async with nginx(directory / "backend", text, port=port):
            yield


@asynccontextmanager
async def systems(kind: str, directory: Path) -> AsyncIterator[tuple[System, System, bytes]]:
    """(nginx that asks, nginx that does not, the request that both get)."""
    asking, plain, tools = free_port(), free_port(), free_port()
    directory.mkdir()  # noqa: ASYNC240  (before anything is measured)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(provider(directory, lifetime=LONG))
        servers = mintage(directory / "mintage", upstream, "memory://")
        _ask(servers.file, upstream)
        await stack.enter_async_context(servers.serving())
        await stack.enter_async_context(backend(kind, directory, tools))
        text = front(asking=asking, plain=plain, mintage=servers.ports[0], tools=tools)
        await stack.enter_async_context(nginx(directory / "front", text, port=asking))
        bench_client = servers.bench_client()
        await bench_client.register()
        session = await bench_client.redeem(await bench_client.log_in())
        bench_client.close()
        headers = {"authorization": f"Bearer {session.access_token}"}
        data = request("GET", "/mcp", bench_client.host, headers)
        yield _at(asking, "nginx and Mintage"), _at(plain, "nginx alone"), data


def _ask(file: Path, upstream: str) -> None:
    """The configuration in *file*, for a resource that another proxy serves."""
    text = file.read_text(encoding="utf-8")
    text = text.replace(f'backend    = "{upstream}/backend"\n', "")
    text = text.replace('credential = "upstream"', 'credential = "identity"')
    file.write_text(text + '[gateway]\nforward_auth = "nginx"\n', encoding="utf-8")


def _at(port: int, name: str) -> System:
    return System(name, BenchClient(f"http://127.0.0.1:{port}", port, ""), 0)


async def run(kind: str, rounds: int, directory: Path) -> tuple[System, System]:
    async with systems(kind, directory) as (asking, plain, data):
        for _ in range(rounds):
            for system in (asking, plain):
                await system.time(WHAT, Work(lambda: data, seconds=1.0))
        return asking, plain


async def app(_: Scope, __: Receive, send: Send) -> None:
    headers = [(b"content-length", str(SMALL).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * SMALL})


def measure(kind: str, rounds: int) -> str:
    """A row of the table."""
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        asking, plain = runner.run(run(kind, rounds, Path(directory) / kind))
    cells = [f"{s.rate(WHAT):,.0f} ({s.milliseconds(WHAT):.2f})" for s in (plain, asking)]
    share = asking.rate(WHAT) / plain.rate(WHAT)
    tell(Aim(f"forward_auth before {kind}, of nginx alone", share, AIM, "%"))
    return f"| {kind} | {' | '.join(cells)} | {share:.0%} | {AIM:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forward_auth")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows = [measure(kind, options.rounds) for kind in ("ASGI", "nginx")]
    print(f"8 clients, {options.rounds} rounds ({machine()})\n")
    print("| behind nginx | nginx alone, /s (median ms) | asking Mintage | share | aim |")
    print("|---" + "|---:" * 4 + "|")
    print("\n".join(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["backend"]:
        uvicorn.run(app, port=int(sys.argv[2]), lifespan="off", log_level="error", access_log=False)
    else:
        main()
