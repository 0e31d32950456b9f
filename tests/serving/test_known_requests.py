"""A request that comes again byte for byte is not parsed again: it is the same request."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from mintage.serving.protocol import BoundedProtocol
from mintage.web.repeated_heads import REPEATED
from tests.serving.conftest import GET, Client, Stage, staged

OTHERS = {
    "another method": GET.replace(b"GET", b"PUT"),
    "another target": GET.replace(b"GET /", b"GET /x?y"),
    "another header": GET.replace(b"host: x", b"host: x\r\naccept: a"),
    "other letters": GET.replace(b"host", b"HOST"),
    "an older version": GET.replace(b"1.1", b"1.0"),
    "the last one": GET.replace(b"host: x", b"host: x\r\nconnection: close"),
    "chunks": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a length of none": b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    "a body": b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The targets that the parser has read."""
    targets: list[bytes] = []
    on_url = BoundedProtocol.on_url

    def noted(self: BoundedProtocol, url: bytes) -> None:
        targets.append(url)
        on_url(self, url)

    monkeypatch.setattr(BoundedProtocol, "on_url", noted)
    return targets


async def sent(client: Client, data: bytes) -> dict[str, Any]:
    client.writer.write(data)
    found: dict[str, Any] = json.loads(await client.chunked())
    return found


def plain(stage: Stage) -> list[dict[str, Any]]:
    """The scopes so far, without what is of a connection, and of a memory."""
    found = [{**scope, "client": None} for scope in stage.app.scopes]
    for scope in found:
        scope.pop(REPEATED, None)
    return found


async def test_the_same_bytes_are_parsed_once(parsed: list[bytes]) -> None:
    async with staged() as stage, stage.connected() as one, stage.connected() as other:
        answers = [await sent(client, GET) for client in (one, one, other, one)]
        assert answers == [{"headers": [["host", "x"]], "body": "", "method": "GET"}] * 4
        scopes = plain(stage)
        assert scopes == [scopes[0]] * 4
    assert parsed == [b"/"]


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
async def test_attack_e05_other_bytes_are_another_request(data: bytes) -> None:
    """Before one request is known as after, and as often as it comes."""
    found: list[list[Any]] = []
    async with staged() as stage:
        for known in ([], [GET, GET], [], []):
            async with stage.connected() as client:
                for each in known:
                    await sent(client, each)
            stage.app.scopes.clear()
            async with stage.connected() as client:
                client.writer.write(data)
                client.writer.write_eof()
                found.append([await client.rest(), *plain(stage)])
    assert found[0][0].startswith(b"HTTP/1.1 200")
    assert len(found[0]) == 2
    assert found == [found[0]] * 4


async def test_attack_e05_a_body_that_reads_like_a_known_request_is_a_body(
    parsed: list[bytes],
) -> None:
    async with staged() as stage, stage.connected() as client:
        await sent(client, GET)
        client.writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(GET))
        await client.writer.drain()
        await asyncio.sleep(0.05)
        assert (await sent(client, GET))["body"] == GET.decode()
        client.writer.write(b"GET /other HTTP/1.1\r\nx: ")
        await asyncio.sleep(0.05)
        answer = await sent(client, GET)
        assert answer["headers"][0] == ["x", "GET / HTTP/1.1"]
        assert len(stage.app.scopes) == 3
        assert stage.app.scopes[2]["path"] == "/other"
    assert parsed == [b"/", b"/", b"/other"]


@pytest.mark.parametrize(
    "data",
    [
        b"GET /callback?code=one&state=two HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nCookie: session=secret\r\n\r\n",
    ],
    ids=["a query", "a cookie"],
)
async def test_codes_and_sessions_are_not_kept(parsed: list[bytes], data: bytes) -> None:
    async with staged() as stage, stage.connected() as client:
        assert await sent(client, data) == await sent(client, data)
    assert len(parsed) == 2


async def test_two_requests_at_once_are_not_one(parsed: list[bytes]) -> None:
    async with staged() as stage, stage.connected() as client:
        for _ in range(2):
            assert (await sent(client, GET + GET))["method"] == "GET"
            assert json.loads(await client.chunked())["method"] == "GET"
        assert len(stage.app.scopes) == 4
    assert parsed == [b"/"] * 4


async def test_what_waits_for_its_turn_or_to_continue_is_parsed(parsed: list[bytes]) -> None:
    expecting = b"GET / HTTP/1.1\r\nexpect: 100-continue\r\n\r\n"
    async with staged() as stage, stage.connected() as client:
        await sent(client, GET)
        client.writer.write(GET.replace(b"GET /", b"GET /slow"))
        await asyncio.sleep(0.05)
        client.writer.write(GET)  # while the other one is answered
        await asyncio.sleep(0.05)
        stage.app.go.set()
        for _ in range(2):
            assert json.loads(await client.chunked())["method"] == "GET"
        assert parsed == [b"/", b"/slow", b"/"]
        for _ in range(2):
            client.writer.write(expecting)
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.chunked()
    assert parsed == [b"/", b"/slow", *[b"/"] * 3]


async def test_an_application_that_changes_its_headers_changes_no_other_request() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert receive is not None
        seen.append([*scope["headers"]])
        scope["headers"].append((b"authorization", b"mine"))
        scope["state"]["user"] = "me"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1"})

    async with staged(app=app) as stage, stage.connected() as client:
        for _ in range(3):
            client.writer.write(GET)
            await client.chunked()
    assert seen == [[(b"host", b"x")]] * 3


async def test_a_websocket_is_opened_each_time() -> None:
    async with staged() as stage:
        for _ in range(2):
            async with connect(f"ws://127.0.0.1:{stage.port}/"):
                pass
        assert [scope["type"] for scope in stage.app.scopes] == ["websocket"] * 2


async def test_requests_are_kept_in_bounded_memory() -> None:
    async with staged() as stage, stage.connected() as client:
        for number in range(1100):
            await sent(client, GET.replace(b"host: x", b"host: %d" % number))
        await sent(client, GET.replace(b"host: x", b"host: " + b"x" * 5000))
        [connection] = stage.places._timed
        assert isinstance(connection, BoundedProtocol)
        assert len(connection.known) == 1000
