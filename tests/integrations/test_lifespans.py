"""The login opens before the application and closes after it, whatever the application does."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.integrations.lifespans import lifespan_within


class Server:
    """The server's end of a lifespan; what happened stands in *told*, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._asked = ["lifespan.startup", "lifespan.shutdown"]

    async def receive(self) -> Any:
        return {"type": self._asked.pop(0)}

    async def send(self, message: Any) -> None:
        self.told.append(message["type"].removeprefix("lifespan."))

    @asynccontextmanager
    async def around(self) -> AsyncIterator[None]:
        self.told.append("open")
        yield
        self.told.append("closed")

    async def run(self, app: ASGIApp) -> list[str]:
        await lifespan_within(self.around, app, {"type": "lifespan"}, self.receive, self.send)
        return self.told


async def test_the_application_lives_inside() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for what in ("startup", "shutdown"):
            assert await receive() == {"type": f"lifespan.{what}"}
            await send({"type": f"lifespan.{what}.complete"})

    assert await Server().run(app) == ["open", "startup.complete", "closed", "shutdown.complete"]


async def test_an_application_without_a_lifespan_is_no_obstacle() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("only HTTP here")

    assert await Server().run(app) == ["open", "startup.complete", "closed", "shutdown.complete"]


async def test_an_application_that_does_not_start_stops_all() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no"})
        raise LookupError("no")

    server = Server()
    with pytest.raises(LookupError):
        await server.run(app)
    assert server.told == ["open", "startup.failed"]


async def test_where_the_login_does_not_open_the_application_does_not_start() -> None:
    class Closed(AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            raise OSError("the store is away")

        async def __aexit__(self, *_: object) -> None:
            pytest.fail("was never open")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pytest.fail("started")

    server = Server()
    with pytest.raises(OSError, match="away"):
        await lifespan_within(Closed, app, {"type": "lifespan"}, server.receive, server.send)
    assert server.told == ["startup.failed"]


async def test_starlettes_integration_loads_no_sdk() -> None:
    code = (
        "import sys, mintage.integrations.starlette\n"
        "print([name for name in ('mcp', 'fastmcp', 'fastapi') if name in sys.modules])"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
