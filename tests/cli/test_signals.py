"""Signals, as terminals, supervisors and kernels send them: exit code 0, and no process is left."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from mintage.demo.stage import process
from mintage.network.tls import trusted
from mintage.testing.nanoidp import free_port
from tests.support.command import WORKERS_CONFIG, children, is_gone

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@asynccontextmanager
async def serving(
    directory: Path, *args: str, store: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``mintage serve`` in a process group of its own, and its address."""
    port, file = free_port(), directory / "mintage.toml"
    store = store or f"sqlite://{directory}/mintage.db"
    file.write_text(WORKERS_CONFIG.format(port=port, store=store))
    url = f"http://127.0.0.1:{port}"
    async with process(
        "mintage", "serve", "--config", str(file), "--port", str(port), *args,
        ready=f"{url}/healthz", log=directory / "log", new_group=True,
    ) as parent:  # fmt: skip
        yield parent, url


async def started(pid: int, count: int) -> set[int]:
    async with asyncio.timeout(90):
        while len(found := children(pid)) < count:
            await asyncio.sleep(0.05)
    return found


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_signal_to_the_whole_group_is_an_orderly_stop(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    async with serving(tmp_path, "--workers", str(workers)) as (parent, _):
        below = await started(parent.pid, 0 if workers == 1 else workers)
        os.killpg(parent.pid, number)
        assert await asyncio.wait_for(parent.wait(), 30) == 0
        assert all([await is_gone(pid) for pid in below])
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as (parent, url):
        below = await started(parent.pid, 2)
        parent.kill()
        await parent.wait()
        assert all([await is_gone(pid) for pid in below])
        port = int(url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            pass  # a new start can have the port
    assert "the parent process is gone" in (tmp_path / "log").read_text()


async def test_a_signal_ends_a_start_that_waits_for_its_store(tmp_path: Path) -> None:
    """A database that takes connections and says nothing: Ctrl-C does not wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port, file = free_port(), tmp_path / "mintage.toml"
        store = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        file.write_text('secret = "env:SECRET"\n' + WORKERS_CONFIG.format(port=port, store=store))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mintage", "serve", "--config", str(file), "--port", str(port),
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"SECRET": "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"},
        )  # fmt: skip
        mute.settimeout(30)
        connection, _ = await asyncio.to_thread(mute.accept)
        child.terminate()
        _, said = await asyncio.wait_for(child.communicate(), 30)
        connection.close()
    assert (child.returncode, b"Traceback" in said) == (0, False)


async def test_both_families_and_several_addresses(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "--host", "127.0.0.1", "--host", "127.0.0.2", "--host", "::1") as (
            _,
            url,
        ),
        httpx2.AsyncClient(verify=trusted(), trust_env=False) as http,
    ):
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "127.0.0.2", "[::1]"):
            assert (await http.get(f"http://{host}:{port}/healthz")).status_code == 200
