"""Background tasks that run for as long as the server does."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

from mintage.app.secret_needs import SecretNeeds
from mintage.errors import StoreError
from mintage.values import Clock

_JOSERFC: Final = "joserfc.jwt"
_CANCEL_AGAIN: Final = 0.5  # seconds
SWEEP_SECONDS: Final = 60  # between two rounds
CLOCK_SECONDS: Final = 30
_REVIEW_SECONDS: Final = 3600

log = logging.getLogger("mintage")


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


async def ready_for_keys() -> None:
    """Import what verifies other people's tokens, while the server answers already.

    The first login would wait for it otherwise, and with it everybody else.
    """
    if _JOSERFC not in sys.modules:
        await asyncio.to_thread(import_module, _JOSERFC)


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncGenerator[None, None]:
    """*works* run for as long as the block lasts."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await end(tasks)


def reviewing(secret_needs: SecretNeeds, clock: Clock) -> Coroutine[Any, Any, None]:
    """Counts again and again what needs which secret, in a store that several servers use."""
    return forever("secrets", lambda: secret_needs.review(now=clock()), pause=_REVIEW_SECONDS)
