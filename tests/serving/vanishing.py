"""Run in a network namespace: how long a stream lives whose client's packets are dropped.

Prints the seconds for a stream that is idle, and for one that sends.
"""

import asyncio
import subprocess
import time

from starlette.types import Receive, Scope, Send

from mintage.serving.settings import ServerSection
from tests.serving.conftest import staged


class Streams:
    """Sends for ever below */sending*, nothing below any other path."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        waiting = asyncio.create_task(self._until_gone(receive))
        while not waiting.done():
            if scope["path"] == "/sending":
                await send({"type": "http.response.body", "body": b"more", "more_body": True})
            await asyncio.sleep(0.1)
        self.gone.set()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


def link(state: str) -> None:
    """Packets reach nobody while the loopback device is down."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def lived(path: bytes) -> float:
    app = Streams()
    async with (
        staged(ServerSection(client_gone_seconds=4), app=app) as stage,
        stage.connected() as client,
    ):
        client.writer.write(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        await client.head()
        link("down")
        began = time.monotonic()
        async with asyncio.timeout(40):
            await app.gone.wait()
        found = time.monotonic() - began
        link("up")
        return found


async def main() -> None:
    link("up")
    print(await lived(b"/idle"), await lived(b"/sending"))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
