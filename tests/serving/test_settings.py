"""The section ``[server]``, and that ``mintage serve`` keeps to it."""

import asyncio
from pathlib import Path

import pytest

from mintage.errors import ConfigError
from mintage.serving.settings import ServerSection, affordable
from mintage.settings.load import parse
from mintage.testing.nanoidp import free_port
from tests.support.command import CONFIG, served


@pytest.mark.parametrize(
    ("wanted", "files", "found"),
    [(8192, 1_048_576, 8192), (8192, 1024, 384), (100, 1024, 100), (8192, 64, 1)],
)
def test_connections_are_as_many_as_there_are_files_for(
    wanted: int, files: int, found: int
) -> None:
    assert affordable(wanted, files) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_head_bytes", 100_000),
        ("max_headers", 201),
        ("head_seconds", 0),
        ("body_min_rate", -1),
        ("client_gone_seconds", 1),
        ("max_connections", 0),
    ],
)
def test_a_bound_that_is_none_is_refused(name: str, value: int) -> None:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp"}],
        "server": {name: value},
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, base=Path(), environ={})
    assert caught.value.key == f"server.{name}"


async def said(port: int, sent: bytes) -> bytes:
    """What comes back of *sent*, until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(20):
            return await reader.read(-1)
    finally:
        writer.close()


async def test_mintage_serve_keeps_to_its_bounds(tmp_path: Path) -> None:
    assert ServerSection().max_headers == 200
    port, file = free_port(), tmp_path / "mintage.toml"
    issuer = f"http://127.0.0.1:{port}"
    text = CONFIG.format(issuer=issuer, directory=tmp_path, backend="http://127.0.0.1:9")
    file.write_text(text + "[server]\nmax_headers = 10\nhead_seconds = 1\n")
    get = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    async with served(file, port):
        assert b" 200 " in await said(port, get + b"\r\n")
        assert b" 431 " in await said(port, get + b"a: b\r\n" * 10 + b"\r\n")
        assert b" 431 " in await said(port, get + b"a: " + b"a" * 70_000)
        assert b" 408 " in await said(port, get)
