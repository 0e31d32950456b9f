"""Notices that the peer of a TCP connection has vanished without closing it."""

import asyncio
import socket
from typing import Final

_PROBES: Final = 3


def notice_its_end(
    transport: asyncio.BaseTransport, seconds: float, *, unread: float | None = None
) -> None:
    """Let the kernel close *transport* if its peer does not respond for *seconds*.

    *unread*: seconds after which data that the peer has not taken closes it too; else *seconds*. A
    Unix socket needs none of this: its peer can't vanish without closing it.
    """
    found = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options = {
        "TCP_KEEPIDLE": max(1, int(seconds / 2)),
        "TCP_KEEPINTVL": max(1, int(seconds / 2 / _PROBES)),
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": int((seconds if unread is None else unread) * 1000),
    }
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if (option := getattr(socket, name, None)) is not None:  # some systems lack some
                found.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        return  # it has ended already
