"""An ASGI server in this process, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

_GLANCES, _GLANCE = 25, 0.002  # seconds


@asynccontextmanager
async def serving(*servers: uvicorn.Server) -> AsyncIterator[None]:
    """Run uvicorn servers for as long as the block lasts. They don't handle signals.

    Args:
        servers: The servers.

    Returns:
        An asynchronous context manager. Inside it every server listens.

    Raises:
        OSError: A port can't be used.
    """
    for server in servers:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        try:
            await server.startup()
        except SystemExit as error:  # it would end the process that runs the loop
            raise OSError(f"port {server.config.port} can't be had") from error
    try:
        yield
    finally:
        await asyncio.gather(*(_end(server) for server in servers))


async def _end(server: uvicorn.Server) -> None:
    """Stop as uvicorn does, but without its pauses if nothing is left to wait for."""
    for listener in server.servers:
        listener.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    for _ in range(_GLANCES):
        if not state.connections and not state.tasks:
            break
        await asyncio.sleep(_GLANCE)
    else:
        await server.shutdown()
        return
    for listener in server.servers:
        await listener.wait_closed()
    await server.lifespan.shutdown()
