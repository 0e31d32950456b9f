"""A forward proxy on loopback, of the kind that a company makes everybody use."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Proxy:
    """A forward proxy: whole requests for http, tunnels for https; it notes what passes.

    *refuses*: the status that it answers everything with. *addresses* are the names that it
    looks up by itself.
    """

    def __init__(self, *, refuses: str = "", addresses: Mapping[str, str] | None = None) -> None:
        self.seen: list[str] = []
        self._refuses = refuses
        self._addresses = addresses or {}
        self._lines: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for line in self._lines:
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        try:
            await self._carry(reader, writer)
        finally:
            writer.close()
            self._lines.discard(line)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode().split(" ", 2)
        self.seen.append(f"{method} {target}")
        if self._refuses:
            writer.write(f"HTTP/1.1 {self._refuses}\r\ncontent-length: 0\r\n\r\n".encode())
            return
        address = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = address.partition(":")
        there, back = await asyncio.open_connection(self._addresses.get(host, host), int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            back.write(head)
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
