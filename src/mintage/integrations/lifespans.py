"""Opens something before an ASGI application starts, and closes it after it has stopped."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("mintage.integrations")

_STOPPED = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


async def lifespan_within(
    around: Callable[[], AbstractAsyncContextManager[None]],
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Run the lifespan of *app* inside *around*. An application without a lifespan is fine.

    If *around* does not open, the server gets the error, and *app* does not start.
    """
    startup = await receive()
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(around())
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        messages, spoken = [startup], []

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        async def closing(message: Message) -> None:
            spoken.append(message["type"])
            if message["type"] in _STOPPED:
                await stack.aclose()  # the server may not wait for more than this message
            await send(message)

        try:
            await app(scope, again, closing)
        except Exception as error:
            if spoken:
                raise
            log.info("the application has no lifespan: %s", error)
            await closing({"type": "lifespan.startup.complete"})
            await receive()
            await closing({"type": "lifespan.shutdown.complete"})
