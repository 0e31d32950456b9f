"""The same as behind the gateway, for the answers of an application of one's own (E16)."""

import asyncio
import gc
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.integrations.conftest import House, Open, Session

HOUR = 3600


class Streams:
    """An application with answers that last."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.go = asyncio.Event()
        self.worked = asyncio.Event()

    async def is_over(self) -> None:
        """Wait until its generator is closed: by the end, or as what nobody holds any more."""
        async with asyncio.timeout(20):
            while not self.ended.is_set():
                gc.collect()
                await asyncio.sleep(0.01)

    async def events(self, request: Request) -> Response:
        media = "text/event-stream" if "sse" in request.query_params else "text/plain"
        return StreamingResponse(self._endless(), media_type=media)

    async def _endless(self) -> Any:
        try:
            while True:
                yield b"data: 1\n\n"
                await asyncio.sleep(0.01)
        finally:
            self.ended.set()

    async def slow(self, _: Request) -> Response:
        """It begins its answer late, and works on after it."""
        await self.go.wait()
        return PlainTextResponse("done", background=BackgroundTask(self._work))

    async def _work(self) -> None:
        await self.ended.wait()
        self.worked.set()

    async def talk(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            await socket.receive_text()
        except (WebSocketDisconnect, asyncio.CancelledError):
            self.ended.set()
            raise

    def build(self, login: Any) -> Starlette:
        routes = [
            Route("/api/events", self.events),
            Route("/api/slow", self.slow),
            WebSocketRoute("/api/talk", self.talk),
        ]
        return Starlette(routes=routes, middleware=[Middleware(login.middleware)])


async def over(at: House, session: Session, end: str) -> None:
    if end == "login":
        await session.client.revoke(session.tokens["refresh_token"])
    else:
        at.clock.advance(2 * HOUR)
    await at.login.running.gateway.proxy.watch.look()


ends = pytest.mark.parametrize("end", ["login", "token"])


@ends
async def test_attack_e16_an_event_stream_ends(house: Open, end: str) -> None:
    app = Streams()
    async with house(app.build) as at:
        session = await at.log_in()
        url = f"{at.origin}/api/events?sse"
        async with (
            asyncio.timeout(20),
            at.http.stream("GET", url, headers=session.headers) as found,
        ):
            chunks = found.aiter_raw()
            await anext(chunks)
            await over(at, session, end)
            async for chunk in chunks:  # what was on its way, and then a good end
                assert chunk.startswith(b"data")
        await app.is_over()


@ends
async def test_attack_e16_another_answer_breaks_off(house: Open, end: str) -> None:
    app = Streams()
    async with house(app.build) as at:
        session = await at.log_in()
        url = f"{at.origin}/api/events"
        async with (
            asyncio.timeout(20),
            at.http.stream("GET", url, headers=session.headers) as found,
        ):
            chunks = found.aiter_raw()
            await anext(chunks)
            await over(at, session, end)
            with pytest.raises(httpx2.RemoteProtocolError):
                async for _ in chunks:
                    pass
        await app.is_over()


@ends
async def test_attack_e16_a_websocket_is_closed(house: Open, end: str) -> None:
    app = Streams()
    async with house(app.build) as at:
        session = await at.log_in()
        url = f"ws{at.origin.removeprefix('http')}/api/talk"
        async with connect(url, proxy=None, additional_headers=session.headers) as socket:
            await asyncio.sleep(0)
            await over(at, session, end)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 10)
            assert socket.close_code == 1008
        await app.is_over()


async def test_what_has_not_begun_or_is_complete_is_left_alone(house: Open) -> None:
    """A call that takes long is not torn off in the middle of its work."""
    app = Streams()
    async with house(app.build) as at:
        session = await at.log_in()
        asked = asyncio.create_task(session.get("/api/slow"))
        await asyncio.sleep(0.05)
        await over(at, session, "token")
        app.go.set()
        assert (await asyncio.wait_for(asked, 10)).text == "done"
        await over(at, session, "token")
        app.ended.set()
        await asyncio.wait_for(app.worked.wait(), 5)
