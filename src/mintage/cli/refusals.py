"""What the parent of workers refused, passed on to the first of them, which has the audit trail."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from mintage.app import Mintage
from mintage.events.operation import SettingsRefused

_FIRST: Final = 0  # the number of the worker that reads them
_LONGEST: Final = 500  # characters of a key: with it a write is whole, or it fails
_MOST: Final = 65_536


class Refusals:
    """A pipe from the parent to the worker 0. It keeps what comes while that worker is replaced.

    Make it before the workers are.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)

    def tell(self, key: str) -> None:
        """In the parent: settings were refused, and *key* is the wrong one."""
        with contextlib.suppress(OSError):  # it is full: nobody has read for a long time
            os.write(self._write_end, msgspec.json.encode(key[:_LONGEST]) + b"\n")

    @contextlib.asynccontextmanager
    async def beside(self, app: Mintage, number: int) -> AsyncIterator[None]:
        """In this block the worker *number* reports them, if it is the first. *app* is open."""
        if number != _FIRST:
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._read_end, self._report, app)
        try:
            yield
        finally:
            loop.remove_reader(self._read_end)

    def _report(self, app: Mintage) -> None:
        with contextlib.suppress(BlockingIOError):
            for line in os.read(self._read_end, _MOST).splitlines():
                app.current().events(SettingsRefused(key=msgspec.json.decode(line, type=str)))

    def close(self) -> None:
        """Close both ends in this process."""
        os.close(self._read_end)
        os.close(self._write_end)
