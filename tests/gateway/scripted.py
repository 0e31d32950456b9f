"""A backend that answers byte by byte what it is told, and shows what it was sent."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

Talking = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Scripted:
    """*answers*: what each connection sends after each request's head, the last one for ever.

    ``b""`` among them closes the connection without a word; *seen* holds the heads of requests.
    *talking*, where it is given, does all of that its own way.
    """

    answers: list[bytes] = field(default_factory=lambda: [OK])
    close_after: bool = False
    pause: asyncio.Event | None = None
    seen: list[bytes] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    talking: Talking | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side, or the test, has had enough
        finally:
            self.gone.set()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.talking is not None:
            await self.talking(reader, writer)
        else:
            while True:
                self.seen.append(await reader.readuntil(b"\r\n\r\n"))
                if self.pause is not None:
                    await self.pause.wait()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
                if self.close_after:
                    break

    async def end(self) -> None:
        """Hang up on everybody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def scripted(
    backend: Scripted,
    port: int = 0,
    *,
    socket: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[None]:
    """*backend* listening on *port* or *socket* for as long as the block lasts."""
    if socket is None:
        server = await asyncio.start_server(backend.talk, "127.0.0.1", port, ssl=tls)
    else:
        server = await asyncio.start_unix_server(backend.talk, socket)
    try:
        yield
    finally:
        server.close()
        await backend.end()
