"""What systemd, or another supervisor that does the same, gives to a server and hears from it.

Listening sockets come as open files (sd_listen_fds(3)): they stay open while the server restarts,
and connections wait in them. The state goes to a socket (sd_notify(3)).
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from mintage.errors import ConfigError

_FIRST: Final = 3
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_NOTIFY: Final = "NOTIFY_SOCKET"


def passed_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that a supervisor has opened for this process; empty if it has not.

    The variables are removed, since no child is meant. Raises `ConfigError` for a file that is no
    listening socket.
    """
    meant, number = environ.get("LISTEN_PID"), environ.get("LISTEN_FDS")
    for name in _VARIABLES:
        environ.pop(name, None)
    if meant != str(os.getpid()) or number is None:
        return []
    if not number.isdecimal():
        raise ConfigError("LISTEN_FDS", "is a number of sockets")
    return [_listening(each) for each in range(_FIRST, _FIRST + int(number))]


def _listening(descriptor: int) -> socket.socket:
    try:
        one = socket.socket(fileno=descriptor)
        listens = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(
            "LISTEN_FDS", f"file {descriptor} is no socket: {error.strerror}"
        ) from None
    if one.type != socket.SOCK_STREAM or not listens:
        one.detach()  # it is the supervisor's
        raise ConfigError(
            "LISTEN_FDS",
            f"file {descriptor} is no socket that listens: use ListenStream= and Accept=no",
        )
    one.set_inheritable(False)
    return one


def notify(*states: str) -> None:
    """Tell the supervisor, if it wants to know: ``READY=1``, ``STOPPING=1``, ``STATUS=…``."""
    place = os.environ.get(_NOTIFY)
    if not place or not hasattr(socket, "AF_UNIX"):
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(address)
        out.sendall("\n".join(states).encode())


def notify_reloading() -> None:
    """Tell the supervisor that a reload has begun. ``READY=1`` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def be_silent() -> None:
    """Tell the supervisor nothing from now on: only the main process does."""
    os.environ.pop(_NOTIFY, None)
