"""Records in a file that several processes append to, and that may be rotated."""

import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mintage.audit.trail import NotWritten

_MODE: Final = 0o640  # a program that collects logs may be in the group
_PATIENCE: Final = 1.0  # seconds for a lock that another process holds, a stopped one perhaps
_PAUSE: Final = 0.001  # seconds between two attempts


class FileSink:
    """Appends records with one write, so that lines of several processes never mix.

    Many records share a write, but in a pipe, where a large write could mix with others.
    If the file was renamed or removed, a new one is begun under its name: that is how logs are
    rotated, and no signal is needed.
    A line that has no end, because a disk was full or a machine stopped in the middle of it, gets
    one before the next record, also if another process wrote it. A lock on the file tells such a
    line from one that another process is writing: its first half may be seen before the second.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it. Raises ``OSError``."""
        self._path = path
        self._name = str(path)
        self._in_doubt = True  # the file's last line may lack its end
        self._last = b"\n"  # the last byte that this process wrote
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
                with self._locked(descriptor):
                    end = b"\n" if self._in_doubt and self._lacks_an_end() else b""
                    self._in_doubt = True
                    whole = end + b"".join(some)
                    done = os.write(descriptor, whole)
                if done:
                    self._last = whole[done - 1 : done]
                if done < len(whole):
                    written += _whole_of(some, done - len(end))
                    raise NotWritten("only a part of a record could be written", written=written)
                self._in_doubt = False
                written += len(some)
        except OSError as error:
            raise NotWritten(error.strerror or str(error), written=written) from None

    @contextmanager
    def _locked(self, descriptor: int) -> Iterator[None]:
        """Write beside other processes, but look at the file's end while nobody writes.

        Without a lock (none to be had in time, or on this file system) the worst is an empty line.
        """
        if not self._regular or sys.platform == "win32":
            yield
            return
        import fcntl

        kind = fcntl.LOCK_EX if self._in_doubt else fcntl.LOCK_SH
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_PAUSE)
                    continue
            except OSError:  # no locks here, as on some network file systems
                pass
            break
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _lacks_an_end(self) -> bool:
        """Whether the last line is a part of one. In a pipe only this process's own is known."""
        if self._regular:
            try:
                with self._path.open("rb") as file:
                    if file.seek(0, os.SEEK_END) == 0:
                        return False
                    file.seek(-1, os.SEEK_END)
                    return file.read(1) != b"\n"
            except PermissionError:  # a file that this process may append to and not read
                pass
        return self._last != b"\n"

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
            self._in_doubt, self._last = True, b"\n"
        self._descriptor = self._open()
        return self._descriptor

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return descriptor


def _whole_of(lines: Sequence[bytes], done: int) -> int:
    """How many of *lines* are whole in their first *done* bytes."""
    number = 0
    while number < len(lines) and len(lines[number]) <= done:
        done -= len(lines[number])
        number += 1
    return number


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
