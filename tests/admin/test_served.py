"""``mintage serve`` with ``[admin]``: one listener beside the server, also of several workers."""

import json
import socket
from pathlib import Path

import httpx2
import pytest

from mintage.testing.nanoidp import free_port
from tests.admin.conftest import TOKEN
from tests.support.command import WORKERS_CONFIG, mintage, served

HEADERS = {"authorization": f"Bearer {TOKEN}"}


def settings(directory: Path, listen: str) -> tuple[Path, int]:
    port, file = free_port(), directory / "mintage.toml"
    (directory / "admin.token").touch(0o600)
    (directory / "admin.token").write_text(TOKEN)
    file.write_text(
        WORKERS_CONFIG.format(port=port, store=f"sqlite://{directory}/mintage.db")
        + f'[admin]\nlisten = "{listen}"\ntoken = "file:admin.token"\n'
    )
    return file, port


@pytest.mark.parametrize("workers", ["1", "3"])
async def test_one_listener_serves_the_api_of_all_workers(tmp_path: Path, workers: str) -> None:
    admin = free_port()
    file, port = settings(tmp_path, f"127.0.0.1:{admin}")
    async with served(file, port, "--workers", workers), httpx2.AsyncClient() as http:
        pids = set()
        for _ in range(10):
            answer = await http.get(f"http://127.0.0.1:{admin}/status", headers=HEADERS)
            pids.add(answer.raise_for_status().json()["process"]["pid"])
        assert len(pids) == 1
        assert (
            await http.get(f"http://127.0.0.1:{port}/status", headers=HEADERS)
        ).status_code == 404
        denied = await http.put(
            f"http://127.0.0.1:{admin}/denials?name=app.example", headers=HEADERS
        )
        assert denied.json()["denied"] is True
    shown = mintage("clients", "list", "--json", "--config", str(file))
    assert json.loads(shown.stdout)["denied_as"] == "app.example"


async def test_it_listens_on_a_unix_socket(tmp_path: Path) -> None:
    file, port = settings(tmp_path, "unix:admin.sock")
    async with served(file, port):
        transport = httpx2.AsyncHTTPTransport(uds=str(tmp_path / "admin.sock"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://admin") as http:
            assert (await http.get("/status", headers=HEADERS)).status_code == 200
            assert (await http.get("/status")).status_code == 401


async def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file, port = settings(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
        done = mintage("serve", "--config", str(file), "--port", str(port))
    (line,) = [one for one in done.stderr.decode().splitlines() if "can't listen" in one]
    assert done.returncode == 2
    assert "admin.listen" in line
