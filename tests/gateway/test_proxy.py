"""The gateway over real sockets: nothing smuggled, nothing held back, every end passed on."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World


async def bearer(world: World, path: str = "/mcp") -> dict[str, str]:
    return {"authorization": f"Bearer {await access_token(world, path)}"}


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: +4\r\n\r\nabcd",
        b"Content-Length: 4, 4\r\n\r\nabcd",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length\r\n\r\n",
    ],
)
async def test_attack_d08_ambiguous_framing_reaches_no_backend(
    world: World, raw: RawBackend, framing: bytes
) -> None:
    token = await access_token(world)
    head = f"POST /mcp/echo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n".encode()
    smuggled = b"GET /mcp/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await raw_answer(world, head + framing + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert raw.seen == []


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n", b"0x1\r\na\r\n"])
async def test_attack_d08_a_bad_chunk_ends_no_request_at_the_backend(
    world: World, raw: RawBackend, chunk: bytes
) -> None:
    token = await access_token(world)
    head = (
        f"POST /mcp/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    await raw_answer(world, head + chunk + b"GET /mcp/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [scope["path"] for scope in raw.seen if "smuggled" in scope["path"]] == []
    if raw.seen:
        async with asyncio.timeout(5):
            await raw.gone.wait()  # it learned that the body never ended


async def test_attack_d08_the_backend_gets_our_word_and_no_token(
    world: World, raw: RawBackend
) -> None:
    theirs = await bearer(world)
    sent = {**theirs, "x-forwarded-user": "root", "x-remote-user": "root", "x-auth-user": "root"}
    answer = await world.http.get(f"{world.resource}/echo", headers=sent)
    headers = dict(answer.json()["headers"])
    assert headers["x-forwarded-user"] == "alice"
    assert theirs["authorization"].removeprefix("Bearer ") not in answer.text
    assert "root" not in answer.text
    assert len(headers) == len(answer.json()["headers"])


async def test_path_and_query_arrive_as_they_were_sent(world: World, raw: RawBackend) -> None:
    token = await access_token(world)
    target = "/mcp/a%20b/%C3%BC;v=1/~x?q=%2F..&q=a+b&e=&f"
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert (await raw_answer(world, head.encode())).startswith(b"HTTP/1.1 200 ")
    scope = raw.seen[0]
    assert scope["raw_path"] + b"?" + scope["query_string"] == (
        target.replace("/mcp", "/base", 1).encode()
    )


@pytest.mark.parametrize("path", ["/mcp/..%2fecho", "/mcp//echo", "/mcp/..;/echo", "//mcp/echo"])
async def test_attack_d09_path_tricks_reach_no_backend(
    world: World, raw: RawBackend, path: str
) -> None:
    token = await access_token(world)
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert (await raw_answer(world, head.encode())).startswith(b"HTTP/1.1 400 ")
    assert raw.seen == []


async def test_events_arrive_before_the_next_is_made(world: World, raw: RawBackend) -> None:
    headers = await bearer(world)
    async with (
        asyncio.timeout(10),
        world.http.stream("GET", f"{world.resource}/events", headers=headers) as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"data: 1\n\n"
        raw.go.set()  # only now
        assert await anext(chunks) == b"data: 2\n\n"
        world.app.drain()
        assert [chunk async for chunk in chunks] == []  # a good end, no broken connection
        await raw.gone.wait()


async def test_a_stream_that_opens_while_draining_ends_at_once(
    world: World, raw: RawBackend
) -> None:
    world.app.drain()
    async with asyncio.timeout(5):
        answer = await world.http.get(f"{world.resource}/events", headers=await bearer(world))
    assert answer.status_code == 200


async def test_a_call_under_way_may_finish_while_draining(world: World, raw: RawBackend) -> None:
    headers = await bearer(world)
    async with (
        asyncio.timeout(10),
        world.http.stream("POST", f"{world.resource}/call", headers=headers) as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"data: working\n\n"
        world.app.drain()
        raw.go.set()
        assert await anext(chunks) == b"data: done\n\n"


async def test_uploads_arrive_before_the_next_chunk_is_sent(world: World, raw: RawBackend) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            assert await raw.chunks.get() == b"%d" % number  # it is there, and we sent no more

    async with asyncio.timeout(10):
        answer = await world.http.post(
            f"{world.resource}/upload", content=pieces(), headers=await bearer(world)
        )
    assert answer.text == "3"


async def test_a_large_body_passes_in_pieces(world: World, raw: RawBackend) -> None:
    size = 8 * 1024 * 1024
    answer = await world.http.post(
        f"{world.resource}/upload", content=b"a" * size, headers=await bearer(world)
    )
    assert answer.text == str(size)
    largest = max(len(raw.chunks.get_nowait()) for _ in range(raw.chunks.qsize()))
    assert largest <= 1024 * 1024


async def test_the_backend_learns_that_the_client_is_gone(world: World, raw: RawBackend) -> None:
    headers = await bearer(world)
    async with world.http.stream("GET", f"{world.resource}/events", headers=headers) as answer:
        await anext(answer.aiter_raw())
    async with asyncio.timeout(5):
        await raw.gone.wait()


async def test_the_client_learns_that_the_backend_died(world: World) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await world.http.get(f"{world.resource}/dies", headers=await bearer(world))


async def test_a_backend_that_is_down_is_a_502_with_a_sentence(world: World) -> None:
    answer = await world.http.get(f"{world.issuer}/down", headers=await bearer(world, "/down"))
    assert (answer.status_code, answer.headers["retry-after"]) == (502, "5")
    assert answer.json() == {
        "error": "server_error",
        "error_description": "the backend can't be reached; try again shortly",
    }
