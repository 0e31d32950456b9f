"""What other processes change in PostgreSQL: told by a connection of its own, or asked for.

A pooler in transaction mode gives no connection to keep, so LISTEN is out of its reach: there
the table of changes is read, twice a second.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

import asyncpg

from mintage.stores.protocol import EVERYTHING

HEARTBEAT: Final = 1.5  # after so long a silence the feed is asked whether it lives
POLL: Final = 0.5
_SECONDS: Final = 5.0
# A number may be drawn well before its row can be seen; no call takes longer than this.
_LATE: Final = 10.0
_ROWS: Final = 5000

_Rows = Sequence[tuple[int, bytes]]


async def listen(url: str, channel: str, closed: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """Keys from one connection, until it breaks (an error of the driver) or *closed* is set."""
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()
    db = await asyncpg.connect(url, timeout=_SECONDS, command_timeout=HEARTBEAT)
    closing = asyncio.create_task(closed.wait())
    for ended in (closing.add_done_callback, db.add_termination_listener):
        ended(lambda _: heard.put_nowait(None))
    try:
        await db.add_listener(channel, lambda *notice: heard.put_nowait(bytes.fromhex(notice[3])))
        yield EVERYTHING  # what changed before, nobody told us
        while not closed.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT):
                    key = await heard.get()
            except TimeoutError:
                await db.execute("SELECT 1")  # a line that was cut without a word fails here
                continue
            if key is None:
                raise ConnectionResetError
            yield key
    finally:
        closing.cancel()
        db.terminate()


async def poll(
    start: Callable[[float], Awaitable[int]],
    since: Callable[[int, int], Awaitable[_Rows]],
    closed: asyncio.Event,
) -> AsyncGenerator[bytes, None]:
    """Keys as the table of changes tells them, until a call fails or *closed* is set."""
    reader = Reader(await start(_LATE))
    yield EVERYTHING
    while not closed.is_set():
        rows = await since(reader.floor, _ROWS)
        for key in reader.read(rows, now=time.monotonic()):
            yield key
        if len(rows) < _ROWS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await closed.wait()


class Reader:
    """Which rows are new. Numbers are drawn in order and may be seen out of order.

    All up to *floor* are done with. A number that is missing above it is waited for, and given
    up when its transaction must be over: then it was rolled back.
    """

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._seen: set[int] = set()
        self._waiting_since: float | None = None

    def read(self, rows: _Rows, *, now: float) -> list[bytes]:
        """The keys of *rows*, all those above the floor in order, that were not read before."""
        keys = [key for number, key in rows if number not in self._seen]
        self._seen |= {number for number, _ in rows}
        self._advance()
        if not self._seen:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= _LATE:
            self.floor = min(self._seen) - 1
            self._waiting_since = None
            self._advance()
        return keys

    def _advance(self) -> None:
        while self.floor + 1 in self._seen:
            self.floor += 1
            self._seen.remove(self.floor)
            self._waiting_since = None
