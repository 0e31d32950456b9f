"""Says yes to each question of nginx: ``python -m benchmarks.yes_in_python SOCKET PORT``.

It does not read the question, which nginx sends in one piece. So no login in Python costs less.
"""

import asyncio
import sys
from typing import Final, cast

import uvloop

_YES: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Yes(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        self._transport.write(_YES)


async def main(path: str, port: str) -> None:
    """Answer at the Unix socket *path* and at *port*, until the process is ended."""
    loop = asyncio.get_running_loop()
    async with (
        await loop.create_unix_server(Yes, path),
        await loop.create_server(Yes, "127.0.0.1", int(port)) as server,
    ):
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
