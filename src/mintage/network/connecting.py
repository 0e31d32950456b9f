"""Connects to a host that has several addresses: the next one gets its turn soon (RFC 8305)."""

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, Final

_STAGGER: Final = 0.25  # seconds that one address has before the next is tried beside it

Place = tuple[int, Any]
"""(address family, address), as `socket.getaddrinfo` gives them."""


async def connected(host: str, port: int) -> socket.socket:
    """A socket that is connected to *host*, by whichever of its addresses answers first.

    Raises `OSError`: `socket.gaierror` for a name that is not found, or the first address's error.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # an empty label, or one of 64 characters
        raise socket.gaierror(socket.EAI_NONAME, "it can be no name") from None
    places = in_turns([(family, address) for family, _, _, _, address in found])
    attempts: set[asyncio.Task[socket.socket]] = set()
    first_failure: OSError | None = None
    try:
        while places or attempts:
            if places:
                attempts.add(asyncio.create_task(_one(*places.pop(0))))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=_STAGGER if places else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                first_failure = first_failure or error
    finally:
        await _abandon(attempts)
    raise first_failure or OSError("the name has no address")


def in_turns(places: Sequence[Place]) -> list[Place]:
    """*places* with IPv6 and IPv4 alternating, beginning with the family that came first."""
    families = dict.fromkeys(family for family, _ in places)
    columns = ([place for place in places if place[0] == family] for family in families)
    return [place for place in chain.from_iterable(zip_longest(*columns)) if place is not None]


async def _one(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)  # noqa: FBT003
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


async def _abandon(attempts: set[asyncio.Task[socket.socket]]) -> None:
    """End what is still under way, and close what was connected too late."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()
