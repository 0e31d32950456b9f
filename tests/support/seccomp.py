"""A process in which taking a file lock fails, as on file systems that have none.

Run as ``python -m tests.support.seccomp ERRNO PATH``: prints why the store at PATH is refused.
The kernel refuses the lock (seccomp), so SQLite sees what it would see there.
"""

import ctypes
import platform
import struct
import sys
from pathlib import Path
from typing import Final

from mintage.errors import StoreError
from mintage.stores.sqlite_schema import prepare

FCNTL: Final = {"x86_64": 72, "aarch64": 25}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000
_NUMBER, _SECOND_ARGUMENT = 0, 24  # places in what the filter is given
_SETLK: Final = 6


def refuse_locks(code: int) -> None:
    """From now on ``fcntl(…, F_SETLK, …)`` fails with *code* in this process."""
    number = FCNTL[platform.machine()]
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (_LOAD, 0, 0, _NUMBER),
            (_EQUAL, 0, 3, number),
            (_LOAD, 0, 0, _SECOND_ARGUMENT),
            (_EQUAL, 0, 1, _SETLK),
            (_RETURN, 0, 0, _ERRNO | code),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "no seccomp here")


if __name__ == "__main__":
    refuse_locks(int(sys.argv[1]))
    try:
        prepare(Path(sys.argv[2]))
    except StoreError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
