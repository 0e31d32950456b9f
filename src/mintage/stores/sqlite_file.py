"""Checks that the open file of the SQLite store is still the one at its path.

An open file that was renamed, removed or replaced still takes writes, which nobody will read again.
That must be an outage, not a success.
"""

import logging
from pathlib import Path
from typing import Final

from mintage.errors import StoreUnavailable

log = logging.getLogger("mintage.store")

_SENTENCE: Final = (
    "{path} is not the file that was opened: it was replaced, renamed or removed; restart the "
    "servers (and stop them before the next restore)"
)


class FileGuard:
    """Remembers which file is at *path* now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = _identity(path)
        self._replaced = False

    def check(self) -> None:
        """Check the path. Raises `StoreUnavailable` if another file is there, or none."""
        if not self._replaced and _identity(self._path) not in (self._identity, _UNKNOWN):
            self._replaced = True
            log.error(_SENTENCE.format(path=self._path))
        self.refuse_if_replaced()

    def refuse_if_replaced(self) -> None:
        """Raises `StoreUnavailable` after a `check` that found another file."""
        if self._replaced:
            raise StoreUnavailable(_SENTENCE.format(path=self._path))


_UNKNOWN: Final = (-1, -1)


def _identity(path: Path) -> tuple[int, int] | None:
    """None: there is no file. If the disk does not answer, nothing is known about it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        return _UNKNOWN
    return status.st_dev, status.st_ino
