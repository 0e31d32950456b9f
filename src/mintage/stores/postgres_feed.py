"""The changes of other processes in PostgreSQL: by LISTEN on its own connection, or by polling.

A pooler in transaction mode gives no lasting connection, so LISTEN does not work. Then the table of
changes is read twice a second. Writers fill it only while a reader is enrolled.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

import asyncpg
import msgspec

from mintage.stores.protocol import EVERYTHING

HEARTBEAT: Final = 1.5  # after so long a silence the feed is asked whether it lives
POLL: Final = 0.5
_SECONDS: Final = 5.0
# A number may be drawn well before its row can be seen; no call takes longer than this.
_LATE: Final = 10.0
_ROWS: Final = 5000
STAY: Final = 20.0  # seconds after which a reader says that it is still there

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
        yield EVERYTHING  # changes from before are not known
        while not closed.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT):
                    key = await heard.get()
            except TimeoutError:
                await db.execute("SELECT 1")  # a connection that was cut silently fails here
                continue
            if key is None:
                raise ConnectionResetError
            yield key
    finally:
        closing.cancel()
        db.terminate()


class Table(msgspec.Struct, frozen=True):
    """The table of changes, and the list of its readers.

    *enrol* puts this reader on the list, and *stay* keeps it there: False if it was removed as
    gone. *start* gives the number to read from, *since* the rows above a number.
    """

    enrol: Callable[[], Awaitable[None]]
    stay: Callable[[], Awaitable[bool]]
    start: Callable[[float], Awaitable[int]]
    since: Callable[[int, int], Awaitable[_Rows]]


async def poll(table: Table, closed: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """Keys from the table.

    It ends when a call fails, when this reader was removed as gone, and when *closed* is set.
    """
    await table.enrol()
    reader = Reader(await table.start(_LATE))
    yield EVERYTHING
    enrolled = said = time.monotonic()
    settled = False
    while not closed.is_set():
        rows = await table.since(reader.floor, _ROWS)
        now = time.monotonic()
        for key in reader.read(rows, now=now):
            yield key
        if not settled and now - enrolled >= _LATE:
            settled = True
            yield EVERYTHING  # a change during the enrolment may have left no row
        if now - said >= STAY:
            if not await table.stay():
                return  # rows are missing: begin again
            said = now
        if len(rows) < _ROWS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await closed.wait()


class Reader:
    """Finds the new rows. Numbers are drawn in order and may become visible out of order.

    All numbers up to *floor* are done. It waits for a missing number above it until the number's
    transaction must have ended: then that was rolled back.
    """

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._seen: set[int] = set()
        self._waiting_since: float | None = None

    def read(self, rows: _Rows, *, now: float) -> list[bytes]:
        """The keys of *rows* that are new. *rows* are all rows above the floor, in order."""
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
