"""A small server beside the main one, in the same process, on sockets of its own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from mintage.app.listening import listen
from mintage.app.serving import uvicorn_config
from mintage.errors import ConfigError
from mintage.settings.load import Config

_GRACE_SECONDS: Final = 1


@contextlib.asynccontextmanager
async def served(
    app: ASGIApp, settings: Config, sockets: Sequence[socket.socket], *, key: str
) -> AsyncIterator[None]:
    """In this block *app* is served on *sockets*, which are bound.

    *key*: the setting that names their address. Raises `ConfigError` under it.
    """
    server = uvicorn.Server(uvicorn_config(app, settings, grace=_GRACE_SECONDS))
    try:
        listen(sockets)
    except ConfigError as error:
        raise ConfigError(key, error.advice) from None
    task = asyncio.create_task(server._serve(list(sockets)))  # noqa: SLF001  (minds no signals)
    try:
        yield
    finally:
        server.should_exit = True
        await task
