"""An ASGI server in this process, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn


@asynccontextmanager
async def serving(server: uvicorn.Server) -> AsyncIterator[None]:
    """*server*, from when it listens until the block ends. It leaves signals alone."""
    task = asyncio.create_task(server._serve())  # noqa: SLF001  (serve() would take the signals)
    while not server.started and not task.done():  # noqa: ASYNC110  (it offers no event)
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task
