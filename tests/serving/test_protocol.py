"""Bounds on bytes, time and places, before there is a request: real sockets, a clock by hand."""

import asyncio
import json
import logging
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mintage.serving.phases import is_too_slow
from mintage.serving.protocol import BoundedProtocol
from mintage.serving.settings import ServerSection
from tests.serving.conftest import GET, Client, Stage, staged

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


async def settled() -> None:
    """The loop has read what was sent."""
    for _ in range(20):
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        (b"GET /", b"a" * 4096, b"414"),
        (b"GET / HTTP/1.1\r\nx-a: ", b"a" * 4096, b"431"),
        (b"GET / HTTP/1.1\r\nx-", b"a" * 4096, b"431"),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 700, b"431"),
        (b"", b"\r\n" * 2048, b"431"),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 700, b"431"),
        (CHUNKED + b"0\r\na: ", b"a" * 4096, b"431"),
        (CHUNKED + b"1;x=", b"a" * 4096, b"431"),
        (CHUNKED + b"1\r\na\r\n0\r\na-", b"a" * 4096, b"431"),
    ],
    ids=[
        "url",
        "value",
        "name",
        "many",
        "blank",
        "trailers",
        "trailer",
        "extension",
        "trailer name",
    ],
)
async def test_attack_e05_a_head_without_end_is_ended(
    begin: bytes, more: bytes, status: bytes
) -> None:
    """It never ends by itself: after some hundred KiB at most the server has had enough."""
    async with staged() as stage, stage.connected() as client:
        client.writer.write(begin)
        sent = 0
        try:
            while not client.reader.at_eof() and sent < 2**21:
                client.writer.write(more)
                sent += len(more)
                await client.writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            assert sent < 2**20  # it hung up with the answer on its way
        assert sent < 2**20
        answer = await client.rest()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nx-a: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 201 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + (b"a: " + b"b" * 9000 + b"\r\n") * 8 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", b"505"),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", b"405"),
    ],
    ids=["url", "header", "many", "all", "malformed", "version", "old framing", "connect"],
)
async def test_attack_e05_a_head_that_is_whole_and_too_much_is_refused(
    head: bytes, status: bytes
) -> None:
    async with staged() as stage:
        answer = await stage.ask(head)
        assert answer.startswith(b"HTTP/1.1 " + status)
        told = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert told["error"] == "invalid_request"
        assert not stage.app.scopes


async def test_attack_e05_a_head_may_be_less_large_than_one_of_its_headers() -> None:
    bounds = ServerSection(max_head_bytes=1024, max_header_bytes=4096)
    async with staged(bounds) as stage:
        answer = await stage.ask(GET[:-2] + b"x: " + b"y" * 1100 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")


async def test_attack_e05_nor_does_it_pass_behind_a_small_one() -> None:
    """Both come at once, and the small one's end must not start the count anew."""
    large = GET[:-2] + b"x-a: " + b"a" * 40_000 + b"\r\n\r\n"
    async with staged() as stage, stage.connected() as client:
        client.writer.write(GET + large)
        assert b" 431 " not in await client.rest()  # the first was not answered yet
        assert len(stage.app.scopes) <= 1


async def test_the_largest_head_that_is_allowed_passes() -> None:
    lines = b"".join(b"x-%d: %b\r\n" % (number, b"a" * 30_000) for number in range(2))
    async with staged() as stage, stage.connected() as client:
        client.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
        assert len(json.loads(await client.chunked())["headers"]) == 3


async def test_attack_e11_a_trailer_is_no_header() -> None:
    trailers = b"authorization: Bearer forged\r\nx-forwarded-user: root\r\n"
    async with staged() as stage, stage.connected() as client:
        client.writer.write(CHUNKED + b"2\r\nok\r\n0\r\n" + trailers + b"\r\n")
        seen = json.loads(await client.chunked())
        assert seen["body"] == "ok"
        assert seen["headers"] == [["host", "x"], ["transfer-encoding", "chunked"]]
        # Nor does the next request on the connection have them, nor the scope that was handed out.
        client.writer.write(GET)
        assert json.loads(await client.chunked())["headers"] == [["host", "x"]]
        assert [len(scope["headers"]) for scope in stage.app.scopes] == [2, 1]


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nhost", HEAD, b"G"])
async def test_attack_e14_a_head_that_takes_too_long_ends(begun: bytes) -> None:
    async with staged(ServerSection(head_seconds=20)) as stage, stage.connected() as client:
        client.writer.write(begun)
        await settled()
        stage.seconds(19)
        await settled()
        assert len(stage.places) == 1
        client.writer.write(b"E")  # a byte now and then does not put it off
        await settled()
        stage.seconds(1)
        assert (await client.rest()).startswith(b"HTTP/1.1 408")


async def test_attack_e14_a_connection_that_says_nothing_ends() -> None:
    async with staged(ServerSection(head_seconds=20)) as stage, stage.connected() as client:
        await settled()
        stage.seconds(19)
        assert len(stage.places) == 1
        stage.seconds(1)
        assert await client.rest() == b""
        await settled()
        assert len(stage.places) == 0


async def test_attack_e14_blank_lines_do_not_keep_an_idle_connection() -> None:
    async with staged(ServerSection(keep_alive_seconds=75)) as stage, stage.connected() as client:
        client.writer.write(GET)
        await client.chunked()
        for _ in range(75):
            client.writer.write(b"\r\n")
            await asyncio.sleep(0.002)
            stage.seconds(1)
        assert await client.rest() == b""


async def test_an_idle_connection_is_kept_for_longer_than_balancers_keep_it() -> None:
    assert ServerSection().keep_alive_seconds > 60
    async with staged() as stage, stage.connected() as client:
        client.writer.write(GET)
        await client.chunked()
        stage.seconds(70)
        client.writer.write(GET)
        assert await client.chunked()
        stage.seconds(ServerSection().keep_alive_seconds)
        assert await client.rest() == b""


async def test_attack_e14_a_body_that_stops_ends_and_the_application_learns_of_it() -> None:
    """Whether or not its head is known."""
    bounds = ServerSection(body_seconds=30)
    async with staged(bounds) as stage:
        for begun in (b"begin", b"begin", b""):
            async with stage.connected() as client:
                client.writer.write(HEAD + b"content-length: 1000\r\n\r\n" + begun)
                await settled()
                stage.seconds(29)
                client.writer.write(b"more")
                await settled()
                stage.seconds(31)
                assert (await client.rest()).startswith(b"HTTP/1.1 408")
                async with asyncio.timeout(5):
                    await stage.app.gone.wait()
                stage.app.gone.clear()


@pytest.mark.parametrize(
    ("quiet", "waited", "received", "ends"),
    [
        (29, 29, 0, False),
        (30, 30, 0, True),
        (30, 3000, 10**9, True),
        (0, 30, 1, False),
        (0, 40, 999, True),
        (0, 40, 1000, False),
        (1, 3600, 10**6, False),
    ],
)
def test_a_body_must_go_on_and_reach_its_rate(
    quiet: int, waited: int, received: int, *, ends: bool
) -> None:
    bounds = ServerSection(body_seconds=30, body_min_rate=100)
    assert is_too_slow(bounds, quiet, waited, received) is ends


async def test_a_body_that_waits_for_the_application_is_not_slow() -> None:
    bounds = ServerSection(body_seconds=30)
    async with staged(bounds) as stage, stage.connected() as client:
        expect = b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n"
        client.writer.write(b"POST /later HTTP/1.1\r\nhost: x\r\n" + expect)
        await settled()
        stage.seconds(31)
        stage.app.go.set()
        assert (await client.head()).startswith(b"HTTP/1.1 100")
        client.writer.write(b"ok")
        assert json.loads(await client.chunked())["body"] == "ok"


async def test_attack_e14_a_body_that_goes_on_after_its_answer_ends() -> None:
    """Whether or not its head is known."""
    head = b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 999999\r\n\r\n"
    async with staged() as stage:
        for _ in range(2):
            async with stage.connected() as client:
                client.writer.write(head)
                assert await client.chunked() == b"early"
                for _ in range(30):
                    client.writer.write(b"more")
                    await asyncio.sleep(0.002)
                    stage.seconds(1)
                assert await client.rest() == b""


async def test_attack_e14_places_are_counted_in_all_and_by_address() -> None:
    bounds = ServerSection(max_connections=3, max_connections_per_address=2)
    async with staged(bounds) as stage, stage.connected(), stage.connected():
        await settled()
        answer = await stage.ask(GET)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: " in answer
    async with staged(bounds, trusts=lambda _: True) as stage:
        async with stage.connected(), stage.connected(), stage.connected():
            await settled()
            assert len(stage.places) == 3
            assert (await stage.ask(GET)).startswith(b"HTTP/1.1 503")
        await settled()
        async with stage.connected() as client:
            client.writer.write(GET)
            assert await client.chunked()


async def used_and_kept(stage: Stage, stack: AsyncExitStack) -> Client:
    """A connection whose request is answered."""
    client = await stack.enter_async_context(stage.connected())
    client.writer.write(GET)
    await client.chunked()
    return client


async def test_attack_e14_idle_connections_keep_no_new_one_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The one that is idle for longest gives way. One with a request under way never does."""
    bounds = ServerSection(max_connections=4)
    async with staged(bounds) as stage, AsyncExitStack() as stack:
        busy = await stack.enter_async_context(stage.connected())
        busy.writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        begun = await stack.enter_async_context(stage.connected())
        begun.writer.write(b"GET / HT")
        oldest = await used_and_kept(stage, stack)
        stage.seconds(2)
        newer = await used_and_kept(stage, stack)
        stage.seconds(2)
        assert len(stage.places) == 4
        await used_and_kept(stage, stack)
        assert await oldest.rest() == b""
        await used_and_kept(stage, stack)
        assert await newer.rest() == b""
        assert len(stage.places) == 4
        # The two that are left were idle for no second, and the others are at work.
        assert (await stage.ask(GET)).startswith(b"HTTP/1.1 503")
        stage.app.go.set()
        assert await busy.chunked()
        begun.writer.write(b"TP/1.1\r\nhost: x\r\n\r\n")
        assert await begun.chunked()
    told = [text for text in caplog.messages if text.startswith("closed an idle connection")]
    assert len(told) == 1


async def test_a_connection_that_has_work_again_is_not_closed_for_another() -> None:
    """It was idle when somebody looked, and was to be the next to give way."""
    async with staged(ServerSection(max_connections=2)) as stage, AsyncExitStack() as stack:
        await used_and_kept(stage, stack)
        stage.seconds(1)
        kept = await used_and_kept(stage, stack)
        stage.seconds(1)
        await used_and_kept(stage, stack)  # instead of the first
        kept.writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        await settled()
        assert (await stage.ask(GET)).startswith(b"HTTP/1.1 503")
        stage.app.go.set()
        assert await kept.chunked()


async def test_a_websocket_keeps_its_place_and_gives_it_back() -> None:
    async with staged() as stage:
        async with connect(f"ws://127.0.0.1:{stage.port}/", proxy=None):
            assert len(stage.places) == 1
            stage.seconds(100)
            assert len(stage.places) == 1
        async with asyncio.timeout(5):
            await stage.app.gone.wait()
        await settled()
        assert len(stage.places) == 0


@pytest.mark.parametrize("headers", [{"x": "a" * 9000}, {f"x-{n}": "a" for n in range(130)}])
async def test_a_websocket_with_a_large_head_is_refused(headers: dict[str, str]) -> None:
    async with staged() as stage:
        with pytest.raises(InvalidStatus, match="431"):
            await connect(f"ws://127.0.0.1:{stage.port}/", proxy=None, additional_headers=headers)


UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings, x-mine\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
)


@pytest.mark.parametrize("pieces", [1, 7])
async def test_an_offer_of_http2_is_not_taken_and_loses_no_body(pieces: int) -> None:
    """As Java's client makes it: the body is a body, and never the next request."""
    body = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    sent = HEAD + UPGRADE + b"content-length: %d\r\n\r\n" % len(body) + body
    async with staged() as stage, stage.connected() as client:
        size = -(-len(sent) // pieces)
        for at in range(0, len(sent), size):
            client.writer.write(sent[at : at + size])
            await client.writer.drain()
            await asyncio.sleep(0.005)
        seen = json.loads(await client.chunked())
        assert seen["body"].encode() == body
        assert ["connection", "x-mine"] in seen["headers"]
        assert not {"upgrade", "http2-settings"} & {name for name, _ in seen["headers"]}
        client.writer.write(GET)  # the connection is good for more
        assert json.loads(await client.chunked())["method"] == "GET"
        assert [scope["path"] for scope in stage.app.scopes] == ["/", "/"]


async def test_a_websocket_that_is_no_get_or_has_a_body_is_refused() -> None:
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\n"
    async with staged() as stage:
        for head in (HEAD + upgrade, GET[:-2] + upgrade + b"content-length: 3\r\n"):
            assert (await stage.ask(head + b"\r\nabc")).startswith(b"HTTP/1.1 400")
        assert not stage.app.scopes


async def test_attack_e05_requests_that_wait_for_no_answer_are_few() -> None:
    async with staged(ServerSection(max_pipelined=4)) as stage, stage.connected() as client:
        slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
        client.writer.write(slow + GET * 4)
        await settled()
        stage.app.go.set()
        for _ in range(5):
            assert await client.chunked()
        stage.app.go.clear()
        client.writer.write(slow + GET * 5)
        assert await client.rest() == b""


async def test_attack_e14_a_stream_ends_with_its_connection_though_a_request_came_after_it() -> (
    None
):
    async with staged() as stage:
        async with stage.connected() as client:
            client.writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
            await client.head()
        async with asyncio.timeout(5):
            await stage.app.gone.wait()


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    async with staged() as stage:
        answer = await stage.ask(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert json.loads(body)["method"] == "GET"


async def test_a_flood_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mintage.serve"):
        async with staged() as stage:
            for _ in range(30):
                await stage.ask(b"nonsense\r\n\r\n")
            lines = [record.getMessage() for record in caplog.records]
            assert lines == ["refused (400), from 127.0.0.1: bytes that are no HTTP request"]
            stage.seconds(10)
            assert caplog.records[-1].getMessage().startswith("29 more: ")
            stage.seconds(10)
            await stage.ask(b"nonsense\r\n\r\n")
            assert len(caplog.records) == 3


SLOW = b"GET /slow HTTP/1.1\r\nhost: x\r\n"


async def test_a_connection_keeps_no_parser_while_its_answer_lasts() -> None:
    """An event stream may last for hours, and 2000 of them are open."""
    async with staged() as stage, stage.connected() as client:
        client.writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        await client.reader.readuntil(b"first")
        [connection] = stage.places._timed
        assert isinstance(connection, BoundedProtocol)
        assert connection.parser is not None
        stage.seconds(1)
        assert connection.parser is None


@pytest.mark.parametrize("at", [1, 2, 9, 16, 25, len(GET) - 1])
async def test_a_request_that_comes_in_parts_during_a_long_answer_is_read_whole(at: int) -> None:
    async with staged() as stage, stage.connected() as client:
        for part in (SLOW + b"\r\n", b"\r\n" + GET[:at], GET[at:] + GET):
            client.writer.write(part)
            await settled()
            stage.seconds(1)
        stage.app.go.set()
        for _ in range(3):
            assert json.loads(await client.chunked())["method"] == "GET"
    assert [scope["path"] for scope in stage.app.scopes] == ["/slow", "/", "/"]


@pytest.mark.parametrize("last", [b"connection: close\r\n", b""])
@pytest.mark.parametrize("at", [1, 8, len(SLOW) + 1])
async def test_what_a_client_sends_behind_its_last_request_costs_it_no_response(
    last: bytes, at: int
) -> None:
    """Its parser takes no more requests. A new one would begin in the middle of one."""
    version = b"1.1" if last else b"1.0"
    asked = b"GET /slow HTTP/" + version + b"\r\nhost: x\r\n" + last + b"\r\n"
    async with staged() as stage, stage.connected() as client:
        for part in (asked + SLOW[:at], SLOW[at:] + b"\r\n"):
            client.writer.write(part)
            await settled()
            stage.seconds(1)
        stage.app.go.set()
        assert (await client.rest()).count(b"HTTP/1.1 200") == 1
    assert [scope["path"] for scope in stage.app.scopes] == ["/slow"]


async def test_nothing_is_answered_behind_the_last_request_however_long_its_answer_took() -> None:
    async with staged() as stage, stage.connected() as client:
        client.writer.write(SLOW + b"connection: close\r\n\r\n")
        await settled()
        stage.seconds(1)
        client.writer.write(GET)
        await settled()
        stage.app.go.set()
        assert (await client.rest()).count(b"HTTP/1.1 200") == 1
    assert [scope["path"] for scope in stage.app.scopes] == ["/slow"]
