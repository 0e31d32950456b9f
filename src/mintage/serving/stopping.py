"""The last requests of a server that stops: those that were on their way when it stopped."""

import asyncio
from collections.abc import Iterable
from typing import Final

from mintage.serving.protocol import BoundedProtocol

_ON_THE_WAY: Final = 1.0  # seconds
_LOOK: Final = 0.02


async def last_requests(connections: Iterable[object], *, wait: float = _ON_THE_WAY) -> None:
    """Let each of *connections* make one more request, for at most *wait* seconds.

    A client that has just connected, or that uses its connection again, can't know that the server
    stops. Without this it would lose a request that no other server gets.
    """
    open_ones = [one for one in connections if isinstance(one, BoundedProtocol)]
    for one in open_ones:
        one.end_after_next()
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while loop.time() < until and any(one.awaits_request for one in open_ones):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK)
