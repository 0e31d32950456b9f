"""Resolves names that strangers choose, with the system's resolver."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from threading import Lock
from typing import Any, Final, TypeAlias

from mintage.clients.addresses import Address
from mintage.errors import FetchFailed

IN_ALL: Final = 64
BELOW_ONE_DOMAIN: Final = 8

LookUp: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]


class Names:
    """Resolves each name in a thread of its own, so that no look-up waits for another.

    The system's resolver can't be interrupted: a name server that never answers blocks a thread for
    twenty seconds, whatever the fetch's time limit is. So each domain gets a few threads for all
    names below it. If none is free, the look-up is refused at once instead of waiting.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(IN_ALL, thread_name_prefix="mintage-names")
        self._lock = Lock()
        self._busy: Counter[str] = Counter()

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of *host*. Raises ``gaierror``, ``UnicodeError`` and `FetchFailed`."""
        domain = ".".join(host.split(".")[-2:])
        with self._lock:
            if self._busy[domain] >= BELOW_ONE_DOMAIN or self._busy.total() >= IN_ALL:
                raise FetchFailed("names below its domain take too long to look up just now")
            self._busy[domain] += 1
        work = self._threads.submit(self._look_up, host, port, type=socket.SOCK_STREAM)
        work.add_done_callback(lambda _: self._done(domain))
        found = await asyncio.wrap_future(work)
        return [ip_address(str(sockaddr[0])) for *_, sockaddr in found]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, domain: str) -> None:
        with self._lock:
            self._busy[domain] -= 1
            if not self._busy[domain]:
                del self._busy[domain]
