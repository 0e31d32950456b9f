"""SIGHUP: `mintage serve` reads its settings again, and refuses those that it can't use."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from mintage.network.tls import trusted
from mintage.testing.nanoidp import free_port
from tests.support.command import children

SETTINGS = """\
issuer = "http://127.0.0.1:{port}"
store  = "sqlite://{directory}/mintage.db"
allow  = "everybody"
[upstream]
issuer    = "http://127.0.0.1:9"
client_id = "mintage"
client_secret = "command:cat secret-of-the-provider"
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:9"
"""
RESOURCE = '[[resource]]\npath = "/{}"\nbackend = "http://127.0.0.1:9"\n'
DONE = b"settings reloaded"
REFUSED = b"settings not reloaded"


@dataclass
class Serving:
    """A server in a process of its own."""

    process: asyncio.subprocess.Process
    file: Path
    url: str
    http: httpx2.AsyncClient

    async def until(self, *words: bytes, count: int = 1) -> str:
        """The *count*-th line of the log from here on that has one of *words*."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while True:
                line = await self.process.stderr.readline()
                assert line, "it has ended"
                count -= any(word in line for word in words)
                if count == 0:
                    return line.decode()

    async def reload(self, *, said: bytes = DONE, count: int = 1) -> str:
        self.process.send_signal(signal.SIGHUP)
        return await self.until(said, count=count)

    def append(self, text: str) -> None:
        self.file.write_text(self.file.read_text() + text)

    async def status(self, path: str) -> int:
        return (await self.http.get(self.url + path)).status_code


@asynccontextmanager
async def serving(
    directory: Path,
    *arguments: str,
    ready: bytes = b"running on",
    count: int = 1,
    settings: str = SETTINGS,
    **environ: str,
) -> AsyncIterator[Serving]:
    port, file = free_port(), directory / "mintage.toml"
    file.write_text(settings.format(port=port, directory=directory))
    (directory / "secret-of-the-provider").write_text("s3")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "serve", "--config", str(file), *arguments,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | environ,
    )  # fmt: skip
    try:
        # A connection for each request: each may reach another worker.
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(verify=trusted(), trust_env=False, limits=limits) as http:
            found = Serving(process, file, f"http://127.0.0.1:{port}", http)
            await found.until(ready, count=count)
            yield found
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)


async def test_good_settings_apply_and_bad_ones_change_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        good = server.file.read_text()
        server.append(RESOURCE.format("more"))
        assert (await server.reload()).endswith("settings reloaded; changed: resource\n")
        assert (await server.status("/mcp"), await server.status("/more")) == (401, 401)
        server.append(RESOURCE.format("BAD PATH"))
        line = await server.reload(said=REFUSED)
        assert "the former ones stay in use: resource[2].path: must be like /mcp" in line
        assert await server.status("/more") == 401
        server.file.write_text("this is no TOML")
        assert "is not valid TOML" in await server.reload(said=REFUSED)
        server.file.unlink()
        assert "there is no such file" in await server.reload(said=REFUSED)
        assert await server.status("/more") == 401
        server.file.write_text(good)
        await server.reload()
        assert await server.status("/more") == 404
        server.process.terminate()
        assert await asyncio.wait_for(server.process.wait(), 30) == 0


async def test_secrets_are_read_again_from_their_sources(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert (await server.reload()).endswith("changed: nothing\n")
        (tmp_path / "secret-of-the-provider").write_text("another")
        assert (await server.reload()).endswith("changed: upstream\n")
        (tmp_path / "secret-of-the-provider").unlink()
        line = await server.reload(said=REFUSED)
        assert "upstream.client_secret: the command 'cat' failed with exit code 1" in line
        secret = tmp_path / "mintage.secret"
        secret.write_text("vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM\n" + secret.read_text())
        (tmp_path / "secret-of-the-provider").write_text("another")
        assert (await server.reload()).endswith("changed: secret\n")
        secret.unlink()
        assert "is missing" in await server.reload(said=REFUSED)


async def test_what_needs_a_restart_is_named_and_the_rest_applies(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        server.file.write_text(server.file.read_text().replace("mintage.db", "other.db"))
        server.append('[server]\nmax_headers = 100\n[gateway]\ntrusted_proxies = ["10.0.0.1"]\n')
        server.append(RESOURCE.format("more"))
        assert (await server.reload()).endswith("changed: resource\n")
        line = await server.until(b"restart to apply")
        assert line.endswith("restart to apply: store, server, gateway.trusted_proxies\n")
        assert await server.status("/more") == 401
        assert not (tmp_path / "other.db").exists()


async def test_workers_reload_after_their_parent_has_checked_the_settings(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2", count=2) as server:
        before = children(server.process.pid)
        server.append(RESOURCE.format("more"))
        await server.reload(count=2)
        assert {await server.status("/more") for _ in range(20)} == {401}
        server.append("nonsense")
        line = await server.reload(said=REFUSED)
        assert "is not valid TOML" in line
        assert {await server.status("/more") for _ in range(20)} == {401}
        assert children(server.process.pid) == before
        # A worker that takes the place of another begins with the settings that were good.
        os.kill(min(before), signal.SIGKILL)
        await server.until(b"running on")
        assert {await server.status("/more") for _ in range(20)} == {401}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_audit_trail_has_one_record_of_each_refusal(tmp_path: Path, workers: str) -> None:
    """With workers the parent refuses, and only a worker has the audit trail and the metrics."""
    page = free_port()
    more = f'[audit]\nto = "file:audit.jsonl"\n[metrics]\nlisten = "127.0.0.1:{page}"\n'
    async with serving(
        tmp_path, "--workers", workers, count=int(workers), settings=SETTINGS + more
    ) as server:
        good = server.file.read_text()
        for resource in ("BAD PATH", "WORSE PATH"):
            server.file.write_text(good + RESOURCE.format(resource))
            await server.reload(said=REFUSED)
        counted = 'mintage_security_events_total{event="settings_refused"} 2'
        shown = ""
        async with asyncio.timeout(30):
            while counted not in shown:
                await asyncio.sleep(0.05)
                with contextlib.suppress(httpx2.ConnectError):  # its process starts last
                    shown = (await server.http.get(f"http://127.0.0.1:{page}/metrics")).text
    lines = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    refused = [each for each in lines if each["event"]["action"] == "settings_refused"]
    assert [each["mintage"]["key"] for each in refused] == ["resource[1].path"] * 2


async def test_a_signal_that_comes_during_the_start_is_not_lost(tmp_path: Path) -> None:
    async with serving(tmp_path, ready=b"redirect address") as server:
        server.append(RESOURCE.format("more"))
        await server.reload()
        assert await server.status("/more") == 401


async def test_the_supervisor_hears_of_it(tmp_path: Path) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(place))
        inbox.settimeout(30)

        async def heard() -> list[str]:
            return (await asyncio.to_thread(inbox.recv, 4096)).decode().split("\n")

        async with serving(tmp_path, NOTIFY_SOCKET=str(place)) as server:
            assert await heard() == ["READY=1"]
            await server.reload()
            reloading = await heard()
            assert reloading[0] == "RELOADING=1"
            assert reloading[1].startswith("MONOTONIC_USEC=")
            assert await heard() == ["READY=1", "STATUS=Settings reloaded"]
            server.file.write_text("nonsense")
            await server.reload(said=REFUSED)
            await heard()
            ready, status = await heard()
            assert ready == "READY=1"
            assert status.startswith("STATUS=Settings not reloaded: ")
        assert await heard() == ["STOPPING=1"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_terminal_that_is_closed_stops_the_server(tmp_path: Path, workers: str) -> None:
    """A terminal sends the same signal, and nobody could stop the server afterwards."""
    port, file = free_port(), tmp_path / "mintage.toml"
    file.write_text(SETTINGS.format(port=port, directory=tmp_path))
    (tmp_path / "secret-of-the-provider").write_text("s3")
    log = (tmp_path / "log").open("wb")
    pid, terminal = pty.fork()
    if pid == 0:
        os.dup2(log.fileno(), 2)
        arguments = ["-m", "mintage", "serve", "--config", str(file), "--workers", workers]
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
    log.close()
    async with asyncio.timeout(60):
        while (tmp_path / "log").read_bytes().count(b"running on") < int(workers):
            await asyncio.sleep(0.05)
    os.close(terminal)
    async with asyncio.timeout(30):
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
