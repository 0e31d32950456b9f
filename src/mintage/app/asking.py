"""Asks identity providers until they answer, so that the log says early what is wrong with one."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Self

from mintage.app.chores import end
from mintage.app.running import Running
from mintage.concurrency import backoff
from mintage.errors import UpstreamError

_FIRST_PAUSE: Final = 4.0  # seconds; half of it is how long a failure is remembered
_LONGEST_PAUSE: Final = 60.0

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
            log.info("the identity provider %s answers%s", name, " now" if said else "")
            return


class Asking:
    """Asks the providers of a server, and after each reload the new ones, while a block lasts."""

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[None]] = {}  # by the client of each provider

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._tasks.values())

    def about(self, running: Running) -> None:
        """Ask the providers of *running*, and no longer those that it does not have."""
        before, self._tasks = self._tasks, {}
        for one in running.upstreams:
            task = before.pop(one.client, None)
            if task is None:
                task = asyncio.create_task(until_it_answers(one.title, one.check))
            self._tasks[one.client] = task
        for task in before.values():
            task.cancel()
