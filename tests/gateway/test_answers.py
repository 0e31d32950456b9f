"""What backends answer, byte by byte: the good passes as it is, the bad gets a 502 of ours."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from mintage.errors import InvalidRequest
from mintage.gateway.http1.pool import Pool
from mintage.site.targets import HttpTarget
from mintage.testing.nanoidp import free_port
from tests.gateway.scripted import OK, Scripted, scripted
from tests.support.raw_backend import access_token, raw_answer
from tests.support.world import World

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def backend() -> Scripted:
    return Scripted()


@pytest.fixture
async def overrides(backend: Scripted) -> AsyncIterator[dict[str, Any]]:
    port = free_port()
    async with scripted(backend, port):
        yield {
            "resource": [
                {
                    "path": "/mcp",
                    "backend": f"http://127.0.0.1:{port}",
                    "scopes": ["tools"],
                    "answer_seconds": 2,
                    "silence_seconds": 0.5,
                    "max_requests": 2,
                    "max_requests_per_user": 2,
                }
            ]
        }


async def ask(world: World, method: str = "GET", **sent: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {await access_token(world)}"} | sent.pop("headers", {})
    return await world.http.request(method, world.resource, headers=headers, **sent)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        HEAD + b"x-request-id: theirs\r\nX-Request-Id: theirs\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-request-id: theirs\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-request-id: theirs\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["usual", "no content", "one of its own", "a cookie", "a fault"],
)
async def test_has_the_reference_of_its_request_and_no_other(
    world: World, backend: Scripted, answer: bytes
) -> None:
    """When its head is known, too. Without a token it has one as well."""
    backend.answers = [answer]
    token = await access_token(world)
    refused = await world.http.get(world.resource)
    sent = {"authorization": f"Bearer {token}"}
    found = [await world.http.get(world.resource, headers=sent) for _ in range(3)]
    references = [each.headers.get_list("x-request-id") for each in (refused, *found)]
    assert [len(each) for each in references] == [1] * 4
    named = {reference for [reference] in references}
    assert len(named) == 4
    assert "theirs" not in named


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"content-length: 2\r\ncontent-length: 4\r\n\r\nokok",
        HEAD + b"content-length: 2, 2\r\n\r\nok",
        HEAD + b"content-length: +2\r\n\r\nok",
        HEAD + b"content-length: -2\r\n\r\nok",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: identity\r\n\r\nok",
        HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"x-a: 1\r\n folded: 2\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-a: 1\rx-b: 2\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-a: 1\0\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x a: 1\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b": 1\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-a: " + b"a" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-a: 1\r\n" * 250 + b"content-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nxyz",
        b"HTTP/1.1 099 Early\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 600 Late\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
    ],
)
async def test_attack_d08_an_answer_that_can_be_read_in_two_ways_is_read_in_none(
    world: World, backend: Scripted, answer: bytes
) -> None:
    backend.answers = [answer, OK]
    refused = await ask(world, "POST")
    assert refused.status_code == 502
    assert refused.json()["error"] == "server_error"
    assert (await ask(world)).text == "ok"
    assert backend.connections == 2  # the first is not trusted with another request


async def test_attack_d08_bytes_behind_an_answer_are_nobodys_answer(
    world: World, backend: Scripted
) -> None:
    backend.answers = [OK + HEAD + b"content-length: 4\r\n\r\nevil", OK]
    assert [(await ask(world)).text for _ in range(3)] == ["ok", "ok", "ok"]
    assert backend.connections == 2


async def test_attack_d08_bytes_that_come_between_two_requests_are_nobodys_answer(
    world: World, backend: Scripted
) -> None:
    late = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await late.wait()
        writer.write(HEAD + b"content-length: 4\r\n\r\nevil")
        await reader.read()

    backend.talking = talk
    assert (await ask(world)).text == "ok"
    backend.talking = None
    late.set()
    await asyncio.sleep(0.05)
    assert (await ask(world)).text == "ok"


async def test_a_header_without_end_is_not_collected(world: World, backend: Scripted) -> None:
    backend.answers = [HEAD + b"x-a: " + b"a" * 200_000]
    assert (await ask(world)).status_code == 502


async def test_a_trailer_without_end_is_not_collected(world: World, backend: Scripted) -> None:
    body = b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: "
    backend.answers = [HEAD + body + b"a" * 400_000]
    with pytest.raises(httpx2.RemoteProtocolError):
        await ask(world)


async def test_interim_answers_and_trailers_stay_here(world: World, backend: Scripted) -> None:
    backend.answers = [
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HEAD + b"x-empty:\r\n"
        b"transfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n"
    ]
    for _ in range(2):
        answer = await ask(world)
        assert (answer.status_code, answer.text, answer.headers["x-empty"]) == (200, "ok", "")
        assert not {"link", "trailer", "x-t"} & set(answer.headers)
    assert backend.connections == 1


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_content_ends_with_its_head(
    world: World, backend: Scripted, status: bytes
) -> None:
    backend.answers = [b"HTTP/1.1 " + status + b"\r\netag: a\r\ncontent-length: 50\r\n\r\n", OK]
    answer = await ask(world)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (
        int(status[:3]), b"", "a",
    )  # fmt: skip
    assert (await ask(world)).text == "ok"
    assert backend.connections == 2  # the first may have a late body for it yet


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("HEAD", HEAD + b"content-length: 9\r\n\r\n"),
        ("HEAD", HEAD + b"\r\n"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_attack_e17_a_body_where_none_may_be_is_nobodys_answer(
    world: World, backend: Scripted, method: str, head: bytes, *, late: bool
) -> None:
    """It comes at once, or when the next request would be under way on the connection."""
    evil = HEAD + b"content-length: 4\r\n\r\nevil"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if backend.connections > 1:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head if late else head + evil)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(evil)
        await reader.read()

    backend.talking = talk
    first = await ask(world, method)
    assert (first.status_code, first.content) == (int(head[9:12]), b"")
    assert (await ask(world)).text == "ok"
    assert backend.connections == 2


async def test_attack_e17_chunks_of_an_older_server_are_read_by_nobody(
    world: World, backend: Scripted
) -> None:
    """RFC 9112 §6.1: such framing is faulty, and somebody on the way may have read it otherwise."""
    body = b"transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    backend.answers = [b"HTTP/1.0 200 OK\r\n" + body, OK]
    assert (await ask(world)).status_code == 502
    assert (await ask(world)).text == "ok"
    assert backend.connections == 2


async def test_the_answer_to_head_has_a_length_and_no_body(world: World, backend: Scripted) -> None:
    backend.answers = [HEAD + b"content-length: 50\r\n\r\n", OK]
    answer = await ask(world, "HEAD")
    assert (answer.headers["content-length"], answer.content) == ("50", b"")
    assert (await ask(world)).text == "ok"


async def test_a_body_may_end_with_its_connection(world: World, backend: Scripted) -> None:
    backend.answers, backend.close_after = [b"HTTP/1.0 200 OK\r\n\r\nall of it"], True
    assert (await ask(world)).text == "all of it"


async def test_headers_keep_their_order_and_come_as_often_as_they_were_sent(
    world: World, backend: Scripted
) -> None:
    backend.answers = [
        HEAD + b"set-cookie: a=1\r\nx-b: \xfcber\r\nset-cookie: b=2\r\n"
        b"content-encoding: br\r\nconnection: x-private\r\nx-private: 1\r\n"
        b"keep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok"
    ]
    token = await access_token(world)
    async with world.http.stream(
        "GET", world.resource, headers={"authorization": f"Bearer {token}"}
    ) as answer:
        body = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert body == b"ok"  # still in its coding, which nobody here undoes
    ours = {b"date", b"server"}
    theirs = [(k, v) for k, v in answer.headers.raw if k.lower() not in ours]
    assert theirs[:5] == [
        (b"set-cookie", b"a=1"),
        (b"x-b", b"\xfcber"),
        (b"set-cookie", b"b=2"),
        (b"content-encoding", b"br"),
        (b"content-length", b"2"),
    ]


async def test_nothing_of_one_answer_gets_into_the_next_request(
    world: World, backend: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    backend.answers = [
        b"HTTP/1.1 302 Found\r\nlocation: /x\r\nset-cookie: a=1\r\ncontent-length: 0\r\n\r\n"
    ]
    for _ in range(2):
        assert (await ask(world)).status_code == 302
        world.http.cookies.clear()  # what a client keeps is its own affair
    assert len(backend.seen) == 2
    assert b"cookie" not in backend.seen[1].lower()


async def test_a_request_without_effects_is_sent_once_more(world: World, backend: Scripted) -> None:
    backend.answers = [OK, b"", OK]
    assert [(await ask(world)).text for _ in range(2)] == ["ok", "ok"]
    assert (backend.connections, len(backend.seen)) == (2, 3)


async def test_and_only_once(world: World, backend: Scripted) -> None:
    backend.answers = [OK, b""]
    assert (await ask(world)).text == "ok"
    assert (await ask(world)).status_code == 502
    assert len(backend.seen) == 3


async def test_a_request_that_may_have_had_effects_is_never_sent_again(
    world: World, backend: Scripted
) -> None:
    backend.answers = [OK, b"", OK]
    assert (await ask(world)).text == "ok"
    answer = await ask(world, "POST", content=b"pay")
    assert answer.status_code == 502
    assert answer.json()["error_description"] == "the backend closed the connection"
    assert len(backend.seen) == 2


async def test_part_of_an_answer_is_no_reason_to_ask_again(world: World, backend: Scripted) -> None:
    backend.answers = [OK, HEAD]
    assert (await ask(world)).text == "ok"
    backend.close_after = True
    assert (await ask(world)).status_code == 502
    assert len(backend.seen) == 2


async def test_a_backend_that_thinks_too_long_is_a_504(world: World, backend: Scripted) -> None:
    backend.pause = asyncio.Event()
    answer = await ask(world)
    assert answer.status_code == 504
    assert answer.json()["error_description"].startswith("the backend did not answer in time")
    backend.pause.set()
    await backend.gone.wait()


async def test_a_body_that_stops_coming_is_broken_off(world: World, backend: Scripted) -> None:
    backend.answers = [HEAD + b"content-length: 9\r\n\r\nok"]
    with pytest.raises(httpx2.RemoteProtocolError):
        await ask(world)
    await backend.gone.wait()


async def test_a_backend_has_so_many_requests_at_once(world: World, backend: Scripted) -> None:
    backend.pause = asyncio.Event()
    waiting = [asyncio.create_task(ask(world)) for _ in range(2)]
    async with asyncio.timeout(5):
        while len(backend.seen) < 2:
            await asyncio.sleep(0.01)
    refused = await ask(world)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    backend.pause.set()
    assert [(await task).text for task in waiting] == ["ok", "ok"]
    assert (await ask(world)).text == "ok"


async def test_an_answer_may_come_before_the_body_is_sent(world: World, backend: Scripted) -> None:
    backend.answers = [b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n", OK]
    answered = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.wait_for(answered.wait(), 5)

    token = await access_token(world)
    headers = {"authorization": f"Bearer {token}"}
    request = world.http.build_request("POST", world.resource, headers=headers, content=endless())
    sending = asyncio.create_task(world.http.send(request))
    await asyncio.wait_for(backend.gone.wait(), 5)  # the rest is not sent to be misread
    answered.set()
    assert (await sending).status_code == 413
    assert (await ask(world)).text == "ok"


async def test_a_client_that_does_not_read_holds_the_backend_back(
    world: World, backend: Scripted
) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    backend.talking = endless
    headers = {"authorization": f"Bearer {await access_token(world)}"}
    async with world.http.stream("GET", world.resource, headers=headers) as answer:
        assert answer.status_code == 200
        assert await comes_to_a_stop(lambda: sent) < 32 * 1024 * 1024
    await asyncio.wait_for(backend.gone.wait(), 5)


async def test_a_backend_that_does_not_read_holds_the_client_back(
    world: World, backend: Scripted
) -> None:
    sent = 0

    async def deaf(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield bytes(65536)
            sent += 65536

    backend.talking = deaf
    uploading = asyncio.create_task(ask(world, "POST", content=endless()))
    assert await comes_to_a_stop(lambda: sent) < 32 * 1024 * 1024
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)


async def comes_to_a_stop(count: Callable[[], int]) -> int:
    """What *count* says once it says the same twice."""
    before = -1
    while count() != before or before == 0:
        before = count()
        await asyncio.sleep(0.1)
    return before


async def test_a_body_is_asked_for_once_it_may_be_sent(world: World, backend: Scripted) -> None:
    head = "POST /mcp HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
    refused = await raw_answer(world, f"{head}Authorization: Bearer none\r\n\r\n".encode())
    assert refused.startswith(b"HTTP/1.1 401 ")
    token = await access_token(world)
    asked = await raw_answer(world, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert backend.seen == []


async def test_where_a_stream_was_broken_off_is_told_to_the_backend(
    world: World, backend: Scripted
) -> None:
    await ask(world, headers={"Last-Event-ID": "42"})
    assert b"\r\nlast-event-id: 42\r\n" in backend.seen[0]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_a_backend_is_not_asked_to_show_what_it_was_sent(
    world: World, backend: Scripted, method: str
) -> None:
    assert (await ask(world, method)).status_code in (400, 405)
    assert backend.seen == []


@pytest.mark.parametrize(
    ("target", "header"),
    [
        (b"/a b", b"v"),
        (b"/a\r\nx: y", b"v"),
        (b"/\xfc", b"v"),
        (b"/", b"a\r\nx-forwarded-user: root"),
        (b"/", b"a\nx-forwarded-user: root"),
        (b"/", b"a\rx-forwarded-user: root"),
        (b"/", b"a\0"),
    ],
)
async def test_attack_d08_no_value_begins_a_line_of_its_own(target: bytes, header: bytes) -> None:
    pool = Pool(HttpTarget.parse("http://b", "backend"))
    with pytest.raises(InvalidRequest):
        pool.begin("GET", target, []).head([(b"x", header)])
    with pytest.raises(InvalidRequest):
        pool.begin("GET", target, [(b"x", header)])
