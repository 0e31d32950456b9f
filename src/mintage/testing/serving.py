"""An ASGI server in this process, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn


@asynccontextmanager
async def serving(*servers: uvicorn.Server) -> AsyncIterator[None]:
    """*servers*, from when they listen until the block ends. They leave signals alone."""
    for server in servers:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup()
    try:
        yield
    finally:
        await asyncio.gather(*(server.shutdown() for server in servers))
