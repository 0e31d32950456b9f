"""Raw requests over sockets: nothing is normalized on the way out."""

import asyncio
import re
from typing import Final

_PATIENCE: Final = 3.0  # seconds for an answer; a few odd requests never get one
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Line:
    """A connection to *port* that is kept for as long as the other side keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def ask(self, request: bytes) -> int:
        """The status of the answer to *request*; 0 where there is none."""
        async with self._turn:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await self._ask(request)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                self.close()
                return 0

    async def _ask(self, request: bytes) -> int:
        fresh = self._writer is None
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            opened = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
            self._reader, self._writer = opened
        self._writer.write(request)
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            if fresh:
                raise
            self.close()  # it was closed while nobody used it
            return await self._ask(request)
        while head.startswith(b"HTTP/1.1 1"):
            head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        await self._body(head, status, bodiless=request.startswith(b"HEAD "))
        if _CLOSE.search(head) or head.startswith(b"HTTP/1.0"):
            self.close()
        return status

    async def _body(self, head: bytes, status: int, *, bodiless: bool) -> None:
        assert self._reader is not None
        if bodiless or status in (204, 304):
            return
        if length := _LENGTH.search(head):
            await self._reader.readexactly(int(length[1]))
        elif _CHUNKED.search(head):
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readuntil(b"\r\n")
        else:
            await self._reader.read(-1)
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
