"""Background tasks that run for as long as the server does."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from mintage.app.clocks import StoreClock
from mintage.app.secret_needs import SecretNeeds
from mintage.app.store_watch import sweep
from mintage.concurrency import backoff
from mintage.errors import StoreError, UpstreamError
from mintage.stores.protocol import Store
from mintage.vault.vault import Vault

_FIRST_PAUSE: Final = 4.0  # seconds; half of it is how long a failure is remembered
_LONGEST_PAUSE: Final = 60.0
_CANCEL_AGAIN: Final = 0.5  # seconds
_SWEEP: Final = 60  # seconds between two rounds
_CLOCK: Final = 30
_REVIEW: Final = 3600

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


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncGenerator[None, None]:
    """*works* run for as long as the block lasts."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await end(tasks)


def chores(
    store: Store, vault: Vault, clock: StoreClock, secret_needs: SecretNeeds | None
) -> Iterator[Coroutine[Any, Any, None]]:
    """What a server does beside its requests. *secret_needs*: None for a store of its own."""
    yield forever("changes", vault.watch, pause=1)
    yield forever("sweep", partial(sweep, store, clock), pause=_SWEEP)
    yield forever("clock", partial(clock.follow, store), pause=_CLOCK)
    if secret_needs is not None:
        yield forever("secrets", lambda: secret_needs.review(now=clock()), pause=_REVIEW)
