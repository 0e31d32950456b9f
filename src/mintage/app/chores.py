"""Background tasks that run for as long as the server does."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from mintage.concurrency import backoff
from mintage.errors import StoreError, UpstreamError

_FIRST_PAUSE: Final = 4.0  # seconds; half of it is how long a failure is remembered
_LONGEST_PAUSE: Final = 60.0
_CANCEL_AGAIN: Final = 0.5  # seconds

log = logging.getLogger("mintage")


async def until_it_answers(name: str, check: Callable[[], Awaitable[None]]) -> None:
    """Ask the identity provider *name* until it answers, and log why it does not.

    A server starts without its provider: users who have a token can work, and the provider may
    come back later.
    """
    said, failures = "", 0
    while True:
        try:
            await check()
        except UpstreamError as error:
            if str(error) != said:
                said = str(error)
                log.warning(
                    "the identity provider %s does not answer as it should: %s. Nobody can log in "
                    "there until it does; Mintage asks it again",
                    name,
                    said,
                )
            await asyncio.sleep(
                backoff.pause(failures, random.random, first=_FIRST_PAUSE, most=_LONGEST_PAUSE)
            )
            failures += 1
        else:
            if said:
                log.info("the identity provider %s answers now", name)
            return


async def end(chores: Collection[asyncio.Task[None]]) -> None:
    """Cancel *chores*, as often as it takes, and wait until they are over.

    A driver may lose a cancellation that comes just when an answer does: `asyncio.wait_for` does
    on Python 3.11. A server that cancelled once would then never stop.
    """
    pending = set(chores)
    while pending:
        for chore in pending:
            chore.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN)


async def forever(name: str, work: Callable[[], Awaitable[None]], *, pause: float) -> None:
    """Do *work* again and again, with *pause* seconds after each end.

    The task survives an outage of the store. Any other error is a fault of this program or of its
    data: it is logged as an ERROR, and the task continues. Otherwise one bad record would end it
    for good, unnoticed.
    """
    while True:
        try:
            await work()
        except StoreError as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s: an unexpected error; Mintage tries again", name)
        await asyncio.sleep(pause)
