"""Where several processes keep their numbers, so that one of them can read them all.

A worker writes its numbers into a place of its own. A worker that takes the place of another one
continues its counts, so a worker that dies takes nothing away but its last tenth of a second.
"""

import asyncio
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from mintage.telemetry.cells import Cells, Snapshot, decode, encode

WRITE_SECONDS: Final = 0.1
"""How late what others read of a process may be."""

_LENGTH_BYTES: Final = 4
_CHECK_BYTES: Final = 4
_NUMBER_BYTES: Final = 8

log = logging.getLogger("mintage.serve")


class Place:
    """Two files without a name, written in turn. Processes that are forked later share them.

    So one of the two is always whole, also if its writer is killed while it writes. Nothing is left
    behind when the last process ends.
    """

    def __init__(self, stack: ExitStack) -> None:
        """*stack* closes the files."""
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]  # noqa: SIM115
        self._files = [file.fileno() for file in files]
        self._number = 0

    def write(self, snapshot: Snapshot) -> None:
        """Raises ``OSError`` if there is no room."""
        self._number += 1
        body = self._number.to_bytes(_NUMBER_BYTES) + encode(snapshot)
        check = zlib.crc32(body).to_bytes(_CHECK_BYTES)
        file = self._files[self._number % 2]
        os.pwrite(file, len(body).to_bytes(_LENGTH_BYTES) + check + body, 0)

    def read(self) -> Snapshot | None:
        """What was written last; None if nothing was."""
        found = [body for file in self._files if (body := _read(file)) is not None]
        if not found:
            return None
        newest = max(found)  # each begins with its number
        self._number = int.from_bytes(newest[:_NUMBER_BYTES])
        return decode(newest[_NUMBER_BYTES:])


def _read(file: int) -> bytes | None:
    """The body in *file*; None if it is not whole, or not there."""
    head = os.pread(file, _LENGTH_BYTES + _CHECK_BYTES, 0)
    length = int.from_bytes(head[:_LENGTH_BYTES])
    body = os.pread(file, length, len(head))
    whole = len(body) == length > 0
    return (
        body if whole and zlib.crc32(body).to_bytes(_CHECK_BYTES) == head[_LENGTH_BYTES:] else None
    )


@dataclass(slots=True)
class SharedCells:
    """The `cells` of a process, which it writes into *place* a moment after they change."""

    place: Place
    cells: Cells = field(init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.cells = Cells(self._changed)
        former = self.place.read()
        if former is not None:
            self.cells.resume(former)
        self.write()

    def write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self.place.write(self.cells.snapshot())
        except OSError as error:
            log.warning("the metrics of this process are not written: %s", error.strerror)

    def _changed(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self.write)


def read_all(places: Sequence[Place]) -> Iterator[tuple[str, Snapshot]]:
    """(number of a process, its numbers) for each process that has any."""
    for number, place in enumerate(places):
        if (found := place.read()) is not None:
            yield str(number), found
