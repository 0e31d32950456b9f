"""Sockets that a supervisor opens (sd_listen_fds(3)): a restart loses no connection."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from mintage.cli.supervisor import passed_sockets
from mintage.network.tls import trusted
from mintage.testing.nanoidp import free_port
from tests.support.activation import supervised
from tests.support.command import WORKERS_CONFIG


def settings(directory: Path, port: int) -> Path:
    file = directory / "mintage.toml"
    file.write_text(WORKERS_CONFIG.format(port=port, store=f"sqlite://{directory}/mintage.db"))
    return file


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_restart_loses_no_connection(tmp_path: Path, workers: str) -> None:
    port = free_port()
    failures: list[str] = []
    answered = 0

    async def call(http: httpx2.AsyncClient) -> None:
        nonlocal answered
        while not over.is_set():
            try:
                answer = await http.get(f"http://127.0.0.1:{port}/healthz")
            except httpx2.HTTPError as error:
                failures.append(repr(error))
            else:
                assert answer.status_code == 200
                answered += 1

    over = asyncio.Event()
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with (
        supervised(settings(tmp_path, port), port) as supervisor,
        httpx2.AsyncClient(verify=trusted(), trust_env=False, limits=limits, timeout=60) as http,
    ):
        server = await supervisor.start("--workers", workers)
        callers = [asyncio.create_task(call(http)) for _ in range(4)]
        for _ in range(3):
            before = answered
            while answered < before + 20:
                await asyncio.sleep(0.01)
            server = await supervisor.restart(server)
        over.set()
        await asyncio.gather(*callers)
        server.terminate()
        assert await server.wait() == 0
    assert failures == []
    assert answered > 60


def test_sockets_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "OTHER": "x"}
    assert passed_sockets(environ) == []
    assert environ == {"OTHER": "x"}
    assert passed_sockets({}) == []


@pytest.mark.parametrize(
    ("number", "why"), [("x", "is a number"), ("-1", "is a number"), ("1", "that listens")]
)
def test_what_is_no_listening_socket_is_named(number: str, why: str) -> None:
    code = (
        "import os, socket, sys\n"
        "from mintage.cli.supervisor import passed_sockets\n"
        "one = socket.socket()\n"
        "os.dup2(one.fileno(), 3)\n"
        "passed_sockets({'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': sys.argv[1]})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, number], capture_output=True, text=True, check=False
    )
    assert "ConfigError: LISTEN_FDS: " in done.stderr
    assert why in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="needs systemd")
async def test_systemd_itself_passes_the_socket(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "systemd-socket-activate", "--listen", f"127.0.0.1:{port}",
        sys.executable, "-m", "mintage", "serve", "--config", str(settings(tmp_path, port)),
        stderr=asyncio.subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip
    try:
        async with (
            asyncio.timeout(60),
            httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=60) as http,
        ):
            while True:
                try:
                    answer = await http.get(f"http://127.0.0.1:{port}/healthz")
                except httpx2.ConnectError:
                    await asyncio.sleep(0.05)
                else:
                    break
            assert answer.status_code == 200
    finally:
        process.terminate()
        assert await process.wait() == 0
