"""``mintage serve --workers``: several processes, one port."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from mintage.demo.stage import process
from mintage.network.tls import trusted
from mintage.testing.nanoidp import free_port
from tests.support.command import WORKERS_CONFIG, children, mintage


async def test_a_worker_that_dies_is_replaced_and_a_stop_is_clean(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "mintage.toml"
    file.write_text(WORKERS_CONFIG.format(port=port, store=f"sqlite://{tmp_path}/mintage.db"))
    url = f"http://127.0.0.1:{port}/healthz"
    async with (
        process(
            "mintage", "serve", "--config", str(file), "--port", str(port), "--workers", "2",
            ready=url, log=tmp_path / "log",
        ) as parent,
        asyncio.timeout(60),
    ):  # fmt: skip
        while len(first := children(parent.pid)) < 2:
            await asyncio.sleep(0.05)
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        while len(now := children(parent.pid)) < 2 or victim in now:
            await asyncio.sleep(0.05)
        async with httpx2.AsyncClient(verify=trusted(), trust_env=False) as http:
            for _ in range(20):
                with contextlib.suppress(httpx2.HTTPError):  # one that the victim had accepted
                    assert (await http.get(url)).status_code == 200
        parent.terminate()
        assert await parent.wait() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in now)


def test_workers_that_share_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(WORKERS_CONFIG.format(port=8080, store="memory://"))
    done = mintage("serve", "--config", str(file), "--workers", "2")
    assert done.returncode == 2
    assert done.stderr.startswith(b"mintage: --workers: ")


WORK = """\
import sys
from mintage.cli.workers import Workers
from mintage.errors import ConfigError, StoreUnavailable

def work(parent, number):
    raise {error}

sys.exit(Workers(2, work).run())
"""


@pytest.mark.parametrize(
    ("error", "code", "starts"),
    [('ConfigError("store", "is wrong")', 2, 2), ('StoreUnavailable("is away")', 1, 8)],
)
def test_workers_that_cannot_start_end_the_parent_with_their_reason(
    error: str, code: int, starts: int
) -> None:
    """A wrong setting stays wrong: nothing is started again. A store may come back: five times."""
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(error=error)],
        capture_output=True,
        timeout=100,
        check=False,
        text=True,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert 1 <= done.stderr.count("worker") <= 2 * starts + 1
    assert ("is wrong" if code == 2 else "is away") in done.stderr
