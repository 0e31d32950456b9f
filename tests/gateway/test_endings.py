"""Answers under way end when their login or their token does, as WebSockets do (E16)."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import httpx2
import pytest

from mintage.errors import InvalidToken, TemporarilyUnavailable
from mintage.gateway import watch
from mintage.resource.bearer import Access
from mintage.testing.nanoidp import free_port
from tests.gateway.scripted import Scripted, scripted
from tests.support.raw_backend import RawBackend, access_token
from tests.support.stdio_sessions import INITIALIZE, SERVER
from tests.support.world import World

HOUR = 3600
PARTIAL = b"HTTP/1.1 200 OK\r\ncontent-type: application/zip\r\n"


@pytest.fixture
def download() -> Scripted:
    """A long download, in the middle of it."""
    return Scripted([PARTIAL + b"content-length: 1000\r\n\r\npart"])


@pytest.fixture
async def overrides(raw: RawBackend, download: Scripted) -> AsyncIterator[dict[str, Any]]:
    port = free_port()
    async with scripted(download, port):
        yield {
            "resource": [
                {"path": "/mcp", "backend": f"http://127.0.0.1:{raw.port}", "scopes": ["tools"]},
                {
                    "path": "/own",
                    "backend": f"http://127.0.0.1:{raw.port}",
                    "credential": "upstream",
                },
                {"path": "/zip", "backend": f"http://127.0.0.1:{port}", "scopes": ["tools"]},
                {
                    "path": "/run",
                    "scopes": ["tools"],
                    "command": {"run": [sys.executable, SERVER]},
                },
            ]
        }


@asynccontextmanager
async def under_way(
    world: World, path: str, method: str = "GET", **sent: Any
) -> AsyncIterator[httpx2.Response]:
    at = f"/{path.split('/')[1]}"
    headers = {"authorization": f"Bearer {await access_token(world, at)}"} | sent.pop("headers", {})
    async with (
        asyncio.timeout(20),
        world.http.stream(method, world.issuer + path, headers=headers, **sent) as answer,
    ):
        yield answer


async def end_all_logins(world: World) -> None:
    listing = world.running.vault.listing
    async for grant in listing.find():
        await listing.end(grant)


async def over(world: World, end: str) -> None:
    """The login or the token of all requests so far is at its end, and somebody looks."""
    if end == "login":
        await end_all_logins(world)
    else:
        world.clock.advance(2 * HOUR)
    await world.running.gateway.proxy.watch.look()


ends = pytest.mark.parametrize("end", ["login", "token"])


@ends
@pytest.mark.parametrize(("path", "method"), [("/mcp/events", "GET"), ("/mcp/call", "POST")])
async def test_attack_e16_an_event_stream_ends_with_its_login_and_its_token(
    world: World, raw: RawBackend, end: str, path: str, method: str
) -> None:
    async with under_way(world, path, method) as answer:
        chunks = answer.aiter_raw()
        assert (await anext(chunks)).startswith(b"data: ")
        await world.running.gateway.proxy.watch.look()  # nothing has ended yet
        assert len(world.running.gateway.proxy.watch) == 1
        await over(world, end)
        raw.go.set()
        assert [chunk async for chunk in chunks] == []  # in good order
    if method == "GET":
        await asyncio.wait_for(raw.gone.wait(), 5)
    assert len(world.running.gateway.proxy.watch) == 0


@ends
async def test_attack_e16_a_download_breaks_off(world: World, download: Scripted, end: str) -> None:
    """Nobody may take the part for the whole."""
    async with under_way(world, "/zip/all") as answer:
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"part"
        await over(world, end)
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(chunks)
    await asyncio.wait_for(download.gone.wait(), 5)


@ends
async def test_attack_e16_the_stream_of_a_command_ends(world: World, end: str) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    token = await access_token(world, "/run")
    headers = accept | {"authorization": f"Bearer {token}"}
    opened = await world.http.post(f"{world.issuer}/run", json=INITIALIZE, headers=headers)
    headers["mcp-session-id"] = opened.headers["mcp-session-id"]
    async with world.http.stream("GET", f"{world.issuer}/run", headers=headers) as answer:
        assert answer.status_code == 200
        await over(world, end)
        async with asyncio.timeout(10):
            assert [chunk async for chunk in answer.aiter_raw() if chunk.startswith(b"data")] == []


async def test_it_is_looked_at_without_being_asked(
    world: World, raw: RawBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch.BOUND_SECONDS == 10
    monkeypatch.setattr(watch, "BOUND_SECONDS", 0.05)
    monkeypatch.setattr(watch, "_TICK", 0.01)
    async with under_way(world, "/mcp/events") as answer:
        chunks = answer.aiter_raw()
        await anext(chunks)
        await end_all_logins(world)
        assert [chunk async for chunk in chunks] == []


async def test_an_outage_of_the_store_ends_no_stream(
    world: World, raw: RawBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise TemporarilyUnavailable("the store is not available")

    async with under_way(world, "/mcp/events") as answer:
        chunks = answer.aiter_raw()
        await anext(chunks)
        with monkeypatch.context() as patch:
            patch.setattr(type(world.running.bearer), "check", away)
            for _ in range(3):
                await world.running.gateway.proxy.watch.look()
        raw.go.set()
        assert await anext(chunks) == b"data: 2\n\n"


async def test_a_short_answer_is_not_watched(world: World) -> None:
    async with under_way(world, "/mcp/short") as answer:
        assert await answer.aread()
        assert len(world.running.gateway.proxy.watch) == 0


async def test_a_task_that_is_cancelled_by_others_as_well_is_cancelled() -> None:
    """The server's stop is not taken for the login's end."""
    looked = watch.Watch()

    async def refuse() -> None:
        raise InvalidToken("over")

    async def hold() -> None:
        with looked.over(refuse) as lasting:
            lasting.begin()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    (lasting,) = looked._open
    lasting.end(InvalidToken("over"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(looked) == 0


async def test_a_look_that_comes_to_its_end_after_the_answer_ends_nothing() -> None:
    """The task may be at its background work, or at the connection's next request, by then."""
    looked, begun, go = watch.Watch(), asyncio.Event(), asyncio.Event()

    async def refuse_late() -> None:
        begun.set()
        await go.wait()
        raise InvalidToken("over")

    with looked.over(refuse_late) as lasting:
        lasting.begin()
        look = asyncio.create_task(looked.look())
        await begun.wait()
        lasting.stop()
        go.set()
        await look
        await asyncio.sleep(0)  # here it would be cancelled
    assert lasting.refusal is None
    assert len(looked) == 0


async def test_a_stream_keeps_no_credential_for_the_backend(world: World, raw: RawBackend) -> None:
    """It was sent. A stream may last for hours, and there may be thousands."""
    async with under_way(world, "/own/events") as answer:
        await anext(answer.aiter_raw())
        credential = dict(raw.seen[-1]["headers"])[b"authorization"].decode()
        assert credential == "Bearer upstream"
        kept = [
            f"{frame.f_code.co_qualname}: {name}"
            for task in asyncio.all_tasks()
            for frame in frames(task.get_coro())
            for name, value in frame.f_locals.items()
            if frame.f_globals["__name__"].startswith("mintage.")
            and (credential in repr(value) or isinstance(value, Access))
        ]
        assert kept == []


def frames(coroutine: object) -> Iterator[FrameType]:
    """Those of *coroutine*, and of each that it waits for."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield frame
        coroutine = getattr(coroutine, "cr_await", None)
