"""Records in a file that several processes append to, and that may be rotated."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mintage.audit.trail import NotWritten

_MODE: Final = 0o640  # a program that collects logs may be in the group


class FileSink:
    """Appends records with one write, so that lines of several processes never mix.

    Many records share a write, but in a pipe, where a large write could mix with others.
    If the file was renamed or removed, a new one is begun under its name: that is how logs are
    rotated, and no signal is needed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it. Raises ``OSError``."""
        self._path = path
        self._name = str(path)
        self._torn = False
        self._regular = False
        self._descriptor: int | None = self._open()

    @property
    def name(self) -> str:
        return f"audit file {self._path}"

    def write(self, lines: Sequence[bytes]) -> None:
        written = 0
        try:
            descriptor = self._current()
            while rest := lines[written:]:
                some = rest if self._regular else rest[:1]
                # After a disk was full in the middle of a line, the next one begins anew.
                begun = b"\n" if self._torn else b""
                whole = begun + b"".join(some)
                done = os.write(descriptor, whole)
                if done < len(whole):
                    written += self._whole_of(some, done, len(begun))
                    raise NotWritten("only a part of a record could be written", written=written)
                self._torn = False
                written += len(some)
        except OSError as error:
            raise NotWritten(error.strerror or str(error), written=written) from None

    def _whole_of(self, lines: Sequence[bytes], done: int, begun: int) -> int:
        """How many of *lines* are whole, of which *done* bytes were written after *begun*."""
        if done == 0:
            return 0
        left, number = done - begun, 0
        while left >= len(lines[number]):
            left -= len(lines[number])
            number += 1
        self._torn = left > 0
        return number

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
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return descriptor


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
