"""Records in a file that several processes append to, and that may be rotated."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mintage.audit.trail import NotWritten

_MODE: Final = 0o640  # a program that collects logs may be in the group


class FileSink:
    """Appends each record with one write, so that lines of several processes never mix.

    If the file was renamed or removed, a new one is begun under its name: that is how logs are
    rotated, and no signal is needed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it. Raises ``OSError``."""
        self._path = path
        self._name = str(path)
        self._torn = False
        self._descriptor: int | None = self._open()

    @property
    def name(self) -> str:
        return f"audit file {self._path}"

    def write(self, lines: Sequence[bytes]) -> None:
        written = 0
        try:
            descriptor = self._current()
            for line in lines:
                # After a disk was full in the middle of a line, the next one begins anew.
                whole = b"\n" + line if self._torn else line
                done = os.write(descriptor, whole)
                self._torn = done < len(whole) and (done > 0 or self._torn)
                if done < len(whole):
                    raise NotWritten("only a part of a record could be written", written=written)
                written += 1
        except OSError as error:
            raise NotWritten(error.strerror or str(error), written=written) from None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _current(self) -> int:
        """The descriptor of the file that has the name now."""
        if self._descriptor is not None:
            try:
                named = os.stat(self._name)  # noqa: PTH116  (half the time of `Path.stat`)
            except FileNotFoundError:
                named = None
            if named is not None and os.path.samestat(named, os.fstat(self._descriptor)):
                return self._descriptor
            self.close()
            self._torn = False
        self._descriptor = self._open()
        return self._descriptor

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)


class StreamSink:
    """Writes records to an open *descriptor*: standard output, as a rule."""

    name = "audit on stdout"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, lines: Sequence[bytes]) -> None:
        for number, line in enumerate(lines):
            rest = line
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                raise NotWritten(error.strerror or str(error), written=number) from None

    def close(self) -> None:
        """It stays open."""
