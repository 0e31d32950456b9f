"""Runs a command that prints a secret: a password manager, or the command line of a cloud.

No shell is involved. What the command prints to standard output is in no message.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from mintage.errors import ConfigError

TIMEOUT_SECONDS: Final = 30.0
MAX_OUTPUT: Final = 64 * 1024  # bytes
_MAX_COMPLAINT: Final = 200  # characters of standard error in a message
_CHUNK: Final = 4096
_CLOSE_SECONDS: Final = 1.0


def output_of(
    line: str,
    *,
    key: str,
    environ: Mapping[str, str],
    base: Path,
    timeout: float = TIMEOUT_SECONDS,
) -> bytes:
    """What the command *line* prints, run in the directory *base* with *environ*.

    Raises `ConfigError` under *key* if it can't be started, fails, prints nothing or too much, or
    runs longer than *timeout* seconds. The message names the program, and not its arguments: they
    may hold a secret.
    """
    program, *arguments = _words(line, key)
    try:
        process = subprocess.Popen(  # noqa: S603  (the operator's own settings name it)
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=base,
            env=dict(environ),
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "holds a NUL character"
        raise ConfigError(key, f"the command {program!r} can't be started: {why}") from None
    said = _Reading(process.stdout, most=MAX_OUTPUT, gives_up=True)
    complaint = _Reading(process.stderr, most=_CHUNK)
    try:
        ended = _wait(process, said, complaint, timeout)
    finally:
        _kill(process)
        said.close()
        complaint.close()
    if said.is_too_long:
        raise ConfigError(key, f"the command {program!r} printed more than {MAX_OUTPUT} bytes")
    if not ended:
        raise ConfigError(key, f"the command {program!r} ran longer than {timeout:g} seconds")
    if process.returncode != 0:
        how = _ended(process.returncode)
        raise ConfigError(key, f"the command {program!r} {how}{_first_line(complaint.found)}")
    if not (value := said.found.strip()):
        raise ConfigError(key, f"the command {program!r} printed nothing")
    return value


def _words(line: str, key: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(key, f"is no command line: {str(error).lower()}") from None
    if not words or not words[0]:
        raise ConfigError(key, "names no command: write command: and a program with its arguments")
    return words


class _Reading:
    """Reads a pipe in a thread of its own, and keeps the first *most* bytes.

    It reads on without keeping anything, unless *gives_up*: then it ends as soon as there is more.
    """

    def __init__(self, pipe: IO[bytes] | None, *, most: int, gives_up: bool = False) -> None:
        self._pipe = pipe
        self._most = most
        self._gives_up = gives_up
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.is_too_long = False
        self._thread.start()

    @property
    def found(self) -> bytes:
        return bytes(self._kept)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the pipe. Returns whether it came."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def close(self) -> None:
        """Close the pipe, unless something that could not be ended still writes into it."""
        if self._pipe is not None and self.wait(_CLOSE_SECONDS):
            self._pipe.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the pipe may be closed meanwhile
            while self._pipe is not None and (some := os.read(self._pipe.fileno(), _CHUNK)):
                room = self._most - len(self._kept)
                self._kept += some[:room]
                if len(some) > room:
                    self.is_too_long = True
                    if self._gives_up:
                        return


def _wait(
    process: "subprocess.Popen[bytes]", said: _Reading, complaint: _Reading, timeout: float
) -> bool:
    """Whether *process* and all that writes into its pipes ended within *timeout* seconds."""
    until = time.monotonic() + timeout
    if not said.wait(timeout) or said.is_too_long or not complaint.wait(until - time.monotonic()):
        return False
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End *process* and what it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _ended(code: int) -> str:
    return f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def _first_line(complaint: bytes) -> str:
    """The first line of standard error, as the end of a sentence."""
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return ""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in lines[0])
    return f": {shown[:_MAX_COMPLAINT]}"
