"""Lets Ctrl-C end work in good order."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Final

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


async def until_stopped(work: Coroutine[None, None, int]) -> int | None:
    """What *work* returns; None if a signal ended it first. Its blocks are closed properly.

    Only the first signal cancels: a second one would interrupt the clean-up.
    """
    task = asyncio.ensure_future(work)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for name in _SIGNALS:
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
            loop.add_signal_handler(getattr(signal, name), stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        return None
