"""``mintage serve``: wrong settings in one line, and a good end with a stream open."""

import asyncio
import json
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mintage.app import Mintage
from mintage.network.tls import trusted
from mintage.settings.load import load
from mintage.testing.nanoidp import free_port
from tests.support.command import CONFIG, mintage, served
from tests.support.raw_backend import RawBackend, token_for

STDIO_SERVER = str(Path(__file__).parent.with_name("support") / "stdio_server.py")


@pytest.mark.parametrize(
    ("content", "key"),
    [("", "issuer"), ("issuer = ", "mintage.toml"), (CONFIG + "x = 1", "resource[0].x")],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    tmp_path: Path, content: str, key: str
) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(content)
    found = mintage("serve", "--config", str(file))
    assert (found.returncode, found.stdout) == (2, b"")
    assert re.match(rf"mintage: (/.*/)?{re.escape(key)}: ", found.stderr.decode())
    assert found.stderr.count(b"\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_open_stream_in_good_order(
    tmp_path: Path,
    raw: RawBackend,
    number: signal.Signals,
) -> None:
    port, file = free_port(), tmp_path / "mintage.toml"
    issuer, backend = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{raw.port}"
    file.write_text(CONFIG.format(issuer=issuer, directory=tmp_path, backend=backend))
    async with Mintage(load(file)).running() as running:
        token = await token_for(running, f"{issuer}/mcp", now=int(time.time()))
    async with (
        served(file, port) as process,
        httpx2.AsyncClient(verify=trusted(), trust_env=False) as http,
    ):
        headers = {"authorization": f"Bearer {token}"}
        async with http.stream("GET", f"{issuer}/mcp/events", headers=headers) as answer:
            chunks = answer.aiter_raw()
            assert await anext(chunks) == b"data: 1\n\n"
            process.send_signal(number)
            async with asyncio.timeout(5):
                assert [chunk async for chunk in chunks] == []
                assert await process.wait() == 0


async def test_a_provider_that_does_not_answer_is_said_and_asked_again(
    tmp_path: Path, raw: RawBackend
) -> None:
    """The server runs all the same: whoever has a token goes on."""
    port, idp_port, file = free_port(), free_port(), tmp_path / "mintage.toml"
    idp = f"http://127.0.0.1:{idp_port}"
    text = CONFIG.replace("http://127.0.0.1:9", idp)
    issuer, backend = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{raw.port}"
    file.write_text(text.format(issuer=issuer, directory=tmp_path, backend=backend))
    away = f"the identity provider 127.0.0.1:{idp_port} does not answer".encode()
    async with served(file, port, ready=away) as process:
        discovery = {
            "issuer": idp,
            "authorization_endpoint": f"{idp}/authorize",
            "token_endpoint": f"{idp}/token",
            "jwks_uri": f"{idp}/keys",
        }
        async with document(idp_port, discovery):
            assert process.stderr is not None
            async with asyncio.timeout(60):
                while b"answers now" not in await process.stderr.readline():
                    pass
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


@asynccontextmanager
async def document(port: int, content: dict[str, str]) -> AsyncIterator[None]:
    """A server that answers everything with *content*."""
    body = json.dumps(content).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"content-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def test_attack_d07_a_websocket_leaves_no_secret_in_the_log_and_ends_in_good_order(
    tmp_path: Path,
) -> None:
    port, backend_port, file = free_port(), free_port(), tmp_path / "mintage.toml"
    issuer, backend = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{backend_port}"
    file.write_text(CONFIG.format(issuer=issuer, directory=tmp_path, backend=backend))
    async with Mintage(load(file)).running() as running:
        token = await token_for(running, f"{issuer}/mcp", now=int(time.time()))
    url = f"ws://127.0.0.1:{port}/mcp?state=very-private"
    async with serve(echo, "127.0.0.1", backend_port), served(file, port) as process:
        with pytest.raises(InvalidStatus, match="401"):
            await connect(url, proxy=None)
        headers = {"authorization": f"Bearer {token}"}
        async with connect(url, proxy=None, additional_headers=headers) as socket:
            await socket.send("still here")
            assert await socket.recv() == "still here"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 5)
            assert socket.close_code == 1012
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert process.stderr is not None
        said = await process.stderr.read()
    assert b"stopped" in said or b"Shutting down" in said
    assert b"very-private" not in said
    assert token.encode() not in said


async def test_spec025_it_listens_on_loopback_where_nothing_else_is_said(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "mintage.toml"
    issuer = f"http://127.0.0.1:{port}"
    file.write_text(CONFIG.format(issuer=issuer, directory=tmp_path, backend="http://127.0.0.1:9"))
    async with served(file, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        with pytest.raises(ConnectionRefusedError):  # whoever listens on all addresses is here too
            await asyncio.open_connection("127.0.0.2", port)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_at_a_unix_socket_a_proxy_may_ask(tmp_path: Path, workers: str) -> None:
    """Its file's mode says who: this user and group. Nobody else can connect."""
    file, path = tmp_path / "mintage.toml", tmp_path / "mintage.sock"
    text = CONFIG.replace('backend    = "{backend}"\n', "")
    settings = text.format(issuer="https://auth.example.com", directory=tmp_path)
    file.write_text(settings + '[gateway]\nforward_auth = "nginx"\n')
    asked = {"x-original-method": "GET", "x-original-uri": "/mcp"}
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))  # as a server leaves it that is killed
    left.close()
    async with (
        served(
            file, 0, "--unix-socket", str(path), "--workers", workers, ready=b"Started"
        ) as process,
        httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path))) as http,
    ):
        assert stat.filemode(path.stat().st_mode) == "srw-rw----"
        answer = await http.get("http://mintage/verify", headers=asked)
        assert (answer.status_code, "resource_metadata=" in answer.headers["www-authenticate"]) == (
            401,
            True,
        )
        taken = await asyncio.to_thread(
            mintage, "serve", "--config", str(file), "--unix-socket", str(path)
        )
        assert (taken.returncode, b"--unix-socket: can't listen at " in taken.stderr) == (2, True)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    assert not path.exists()


def test_a_socket_without_a_directory_is_refused_and_says_what_to_make(tmp_path: Path) -> None:
    file, path = tmp_path / "mintage.toml", tmp_path / "nowhere/mintage.sock"
    address = "http://127.0.0.1:9"
    file.write_text(CONFIG.format(issuer=address, directory=tmp_path, backend=address))
    found = mintage("serve", "--config", str(file), "--unix-socket", str(path))
    assert found.returncode == 2
    assert (
        f"can't listen at {path}: the directory {path.parent} must exist" in found.stderr.decode()
    )


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file, path = tmp_path / "mintage.toml", tmp_path / "notes.txt"
    address = "http://127.0.0.1:9"
    file.write_text(CONFIG.format(issuer=address, directory=tmp_path, backend=address))
    path.write_text("keep")
    found = mintage("serve", "--config", str(file), "--unix-socket", str(path))
    assert found.returncode == 2
    assert path.read_text() == "keep"


WITH_A_COMMAND = """
issuer = "{issuer}"
store  = "sqlite://{directory}/mintage.db"
[upstream]
issuer    = "http://127.0.0.1:9"
client_id = "mintage"
"""


async def test_a_command_after_two_dashes_gets_login_in_front(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "mintage.toml"
    issuer = f"http://127.0.0.1:{port}"
    file.write_text(WITH_A_COMMAND.format(issuer=issuer, directory=tmp_path))
    async with Mintage(load(file, command=["unused"])).running() as running:
        token = await token_for(running, f"{issuer}/mcp", now=int(time.time()))
    async with (
        served(file, port, "--", sys.executable, STDIO_SERVER) as process,
        httpx2.AsyncClient(verify=trusted(), trust_env=False) as http,
    ):
        assert (await http.post(f"{issuer}/mcp", json={})).status_code == 401
        http.headers["authorization"] = f"Bearer {token}"
        url = f"{issuer}/mcp"
        async with Client(streamable_http_client(url, http_client=http)) as client:
            tools = await client.list_tools()
            assert "counted" in {tool.name for tool in tools.tools}
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (["--workers", "2", "--", "cat"], b"--workers: "),
        (["--", "no-such-program"], b"--: there is no program 'no-such-program' here"),
        (["--", "x"], b"--: the command has no place: remove backend from [[resource]] /mcp"),
    ],
)
def test_a_command_that_cannot_be_meant(tmp_path: Path, rest: list[str], why: bytes) -> None:
    file = tmp_path / "mintage.toml"
    text = CONFIG if b"no place" in why else WITH_A_COMMAND
    address = "http://127.0.0.1:9"
    file.write_text(text.format(issuer=address, directory=tmp_path, backend=address))
    found = mintage("serve", "--config", str(file), *rest)
    assert (found.returncode, found.stdout) == (2, b"")
    assert why in found.stderr


def test_a_program_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "mintage.toml"
    text = WITH_A_COMMAND.format(issuer="http://127.0.0.1:9", directory=tmp_path)
    file.write_text(text + '[[resource]]\npath = "/mcp"\ncommand.run = ["no-such-program"]\n')
    found = mintage("serve", "--config", str(file))
    assert found.returncode == 2
    assert b"resource[0].command.run: there is no program 'no-such-program'" in found.stderr
