"""A client that disconnects: its backend learns of it, however the server tells."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import httpx2
import pytest

from mintage.gateway.http1.request import BackendRequest
from tests.gateway.test_proxy import bearer
from tests.support.living import living, new
from tests.support.raw_backend import RawBackend
from tests.support.world import World, as_served


@pytest.fixture(params=["uvicorn's protocol", "Mintage's protocol"])
async def resource(world: World, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a resource. uvicorn's own protocol only sends the message."""
    if request.param == "uvicorn's protocol":
        yield world.resource
    else:
        async with as_served(world.app) as origin:
            yield f"{origin}/mcp"


async def looked_at(world: World) -> None:
    """Until no request is new any more, so that each has its watch for a disconnect."""
    slow = world.running.gateway.resources["/mcp"].pool.slow  # type: ignore[union-attr]
    async with asyncio.timeout(5):
        while slow._since:
            await asyncio.sleep(0.01)


Task: TypeAlias = asyncio.Task[object]


def tasks_of_requests(before: list[Task]) -> list[Task]:
    """Those that requests to a backend made for themselves since, whatever thread they run in."""
    return [
        task
        for task in new(asyncio.Task, before)
        if not task.done()
        and getattr(task.get_coro(), "__qualname__", "").startswith(BackendRequest.__name__)
    ]


@pytest.mark.parametrize("body", [b"", b"asked"])
@pytest.mark.parametrize("is_watched", [False, True])
async def test_ends_the_stream_at_the_backend(
    world: World, raw: RawBackend, resource: str, *, body: bytes, is_watched: bool
) -> None:
    headers, method = await bearer(world), "POST" if body else "GET"
    before = living(asyncio.Task)
    async with world.http.stream(
        method, f"{resource}/events", headers=headers, content=body
    ) as answer:
        chunks = answer.aiter_raw()  # to be kept: without it the client disconnects
        assert await anext(chunks) == b"data: 1\n\n"
        if is_watched:
            await looked_at(world)
            assert not raw.gone.is_set()
    async with asyncio.timeout(5):
        await raw.gone.wait()
        while tasks_of_requests(before):  # none is left, as soon as it has heard of its end
            await asyncio.sleep(0.01)


async def test_after_its_upload_ends_the_stream_at_the_backend(
    world: World, raw: RawBackend, resource: str
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        async with asyncio.timeout(5):
            while not raw.seen:
                await asyncio.sleep(0.01)
        await looked_at(world)
        yield b"two"

    async with world.http.stream(
        "POST", f"{resource}/events", headers=await bearer(world), content=pieces()
    ) as answer:
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"data: 1\n\n"
        raw.go.set()
        assert await anext(chunks) == b"data: 2\n\n"  # all of the upload has been read by now
    async with asyncio.timeout(5):
        await raw.gone.wait()


async def test_of_an_earlier_request_ends_nothing_on_its_connection(
    world: World, raw: RawBackend, resource: str
) -> None:
    """The backend's connection serves the next client by then."""
    headers = await bearer(world)
    async with httpx2.AsyncClient(trust_env=False) as first:
        assert (await first.get(f"{resource}/x", headers=headers)).status_code == 200
        stream = world.http.stream("GET", f"{resource}/events", headers=headers)
        async with stream as answer:
            chunks = answer.aiter_raw()
            assert await anext(chunks) == b"data: 1\n\n"
            await looked_at(world)
            await first.aclose()
            raw.go.set()
            assert await anext(chunks) == b"data: 2\n\n"
            assert not raw.gone.is_set()


async def test_takes_no_task_to_hear_of_in_mintage_serve(world: World, raw: RawBackend) -> None:
    before = living(asyncio.Task)
    async with (
        as_served(world.app) as origin,
        world.http.stream("GET", f"{origin}/mcp/events", headers=await bearer(world)) as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"data: 1\n\n"
        await looked_at(world)
        assert tasks_of_requests(before) == []
