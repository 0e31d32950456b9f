"""What runs beside the requests, for as long as the server does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mintage.errors import StoreError

log = logging.getLogger("mintage")


async def forever(name: str, work: Callable[[], Awaitable[None]], *, pause: float) -> None:
    """Do *work* again and again, *pause* seconds after each end.

    A store that was away comes back. Any other error is a fault of this program or of its data:
    it is logged as an ERROR, and the next round comes all the same. Without that, one bad record
    would end the chore for good, and nobody would know.
    """
    while True:
        try:
            await work()
        except StoreError as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s: an error that was not expected; it is tried again", name)
        await asyncio.sleep(pause)
