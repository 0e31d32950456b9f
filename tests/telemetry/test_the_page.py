"""``[metrics]``: the page of a live server, of one process and of several."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from mintage.network.tls import trusted
from tests.support.command import CONFIG, children, mintage
from tests.support.raw_backend import RawBackend
from tests.telemetry.live import ROOT, Live, live
from tests.telemetry.scrape import series, value

COUNT = "mintage_request_seconds_count"
WORKERS = 2


async def traffic(server: Live, token: str, requests: int) -> int:
    """How many of *requests* to the gateway were answered, over connections of their own."""

    async def ask() -> bool:
        try:
            answer = await http.get(
                f"{server.issuer}/mcp", headers={"authorization": f"Bearer {token}"}
            )
        except httpx2.HTTPError:
            return False
        return answer.status_code == 200

    answered, new = 0, httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(
        verify=trusted(), trust_env=False, timeout=30, limits=new
    ) as http:
        for start in range(0, requests, 10):
            asked = (ask() for _ in range(start, min(start + 10, requests)))
            answered += sum(await asyncio.gather(*asked))
    return answered


async def page_with(server: Live, answered: int) -> str:
    """The page as soon as it has *answered* requests: others read of them a moment later."""
    async with asyncio.timeout(60):
        while True:
            page = await server.page()
            if value(page, COUNT, endpoint="resource", status="2xx") >= answered:
                return page
            await asyncio.sleep(0.02)


async def workers_of(server: Live) -> list[int]:
    """The pids of its workers, once both count themselves. The page has a process of its own."""
    async with asyncio.timeout(60):
        while (
            len(found := children(server.process.pid)) <= WORKERS
            or value(await server.page(), "mintage_processes") != WORKERS
        ):
            await asyncio.sleep(0.05)
    return sorted(found)


async def test_one_process_serves_its_page_on_a_port_of_its_own(
    tmp_path: Path, raw: RawBackend
) -> None:
    async with live(tmp_path, backend=raw.port) as server:
        tokens = await server.tokens()
        assert await traffic(server, tokens["access_token"], 20) == 20
        page = await server.page()
        assert value(page, COUNT, endpoint="resource", resource="/mcp", status="2xx") == 20
        assert value(page, "mintage_backend_seconds_count", resource="/mcp", outcome="2xx") == 20
        assert value(page, "mintage_processes") == 1
        assert (await server.http.get(f"{server.issuer}/metrics")).status_code == 404
        other = server.page_url.removesuffix("/metrics")
        assert (await server.http.get(f"{other}/token")).status_code == 404
        assert (await server.http.post(server.page_url)).status_code == 405
        server.process.terminate()
        assert await server.process.wait() == 0


async def test_the_counts_of_all_workers_add_up_exactly(tmp_path: Path, raw: RawBackend) -> None:
    async with live(tmp_path, "--workers", str(WORKERS), backend=raw.port) as server:
        await workers_of(server)
        tokens = await server.tokens()
        assert await traffic(server, tokens["access_token"], 300) == 300
        page = await page_with(server, 300)
        assert value(page, COUNT, endpoint="resource", status="2xx") == 300
        assert value(page, COUNT, endpoint="token", status="2xx") == 1
        assert value(page, "mintage_backend_seconds_count", outcome="2xx") == 300
        each = [one for one in series(page) if one[0] == "mintage_process_open_fds"]
        assert len(each) == WORKERS
        server.process.terminate()
        assert await server.process.wait() == 0


async def test_a_worker_that_is_killed_takes_no_counts_away_and_breaks_no_scrape(
    tmp_path: Path, raw: RawBackend
) -> None:
    async with live(tmp_path, "--workers", str(WORKERS), backend=raw.port) as server:
        tokens = await server.tokens()
        answered, page_pid = 0, (await workers_of(server))[-1]  # it was started last
        for _ in range(3):
            pids = [pid for pid in await workers_of(server) if pid != page_pid]
            answered += await traffic(server, tokens["access_token"], 50)
            page = await page_with(server, answered)
            before = value(page, COUNT, endpoint="resource", status="2xx")
            os.kill(pids[0], signal.SIGKILL)
            for _ in range(20):
                now = value(await server.page(), COUNT, endpoint="resource", status="2xx")
                assert now == before
        await workers_of(server)
        page = await server.page()
        assert value(page, "mintage_processes") == WORKERS
        assert value(page, "mintage_open_streams") == 0
        each = [one for one in series(page) if one[0] == "mintage_process_open_fds"]
        assert len(each) == WORKERS


async def test_the_process_of_the_page_is_replaced_if_it_dies(
    tmp_path: Path, raw: RawBackend
) -> None:
    async with live(tmp_path, "--workers", str(WORKERS), backend=raw.port) as server:
        pids = await workers_of(server)
        tokens = await server.tokens()
        assert await traffic(server, tokens["access_token"], 20) == 20
        await page_with(server, 20)
        os.kill(pids[-1], signal.SIGKILL)  # it was started last
        page = ""
        async with asyncio.timeout(60):
            while not page:
                with contextlib.suppress(httpx2.HTTPError):
                    page = await server.page()
        assert value(page, COUNT, endpoint="resource", status="2xx") == 20
        assert set(pids[:-1]) < children(server.process.pid)


async def test_no_secret_is_on_the_page(tmp_path: Path, raw: RawBackend) -> None:
    async with live(tmp_path, "--workers", str(WORKERS), backend=raw.port) as server:
        tokens = await server.tokens()
        await traffic(server, tokens["access_token"], 20)
        await traffic(server, tokens["access_token"][:-3] + "abc", 5)
        await server.http.get(
            f"{server.issuer}/mcp/{tokens['refresh_token']}?code={tokens['refresh_token']}",
            headers={"authorization": f"Bearer {tokens['access_token']}"},
        )
        await server.http.post(f"{server.issuer}/token", data={"code": tokens["refresh_token"]})
        page = await server.page()
        given = {tokens["access_token"], tokens["refresh_token"]}
        secrets = {*given, ROOT, server.upstream.client_secret, *server.upstream.issued}
        secrets |= {part for token in given for part in token.split(".")}
        assert not [secret for secret in secrets if secret in page]
        assert "alice" not in page


@pytest.mark.parametrize(
    "listen", ["9464", "127.0.0.1", "host:port", "http://127.0.0.1:1", "a@b:1"]
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    file = tmp_path / "mintage.toml"
    settings = CONFIG.format(
        issuer="http://127.0.0.1:8080", directory=tmp_path, backend="http://127.0.0.1:9"
    )
    file.write_text(f'{settings}\n[metrics]\nlisten = "{listen}"\n')
    done = mintage("serve", "--config", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(b"mintage: metrics.listen: write an address and a port")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "mintage.toml"
        settings = CONFIG.format(
            issuer="http://127.0.0.1:8080", directory=tmp_path, backend="http://127.0.0.1:9"
        )
        file.write_text(f'{settings}\n[metrics]\nlisten = "127.0.0.1:{port}"\n')
        done = mintage("serve", "--config", str(file), "--port", "0")
    assert done.returncode == 2
    assert done.stderr.startswith(b"mintage: metrics.listen: can't listen on 127.0.0.1 port")
