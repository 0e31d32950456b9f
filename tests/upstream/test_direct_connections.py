"""Requests to the provider on Mintage's own connections: what is sent, kept and refused."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import UpstreamMisbehaved, UpstreamMisconfigured, UpstreamUnavailable
from mintage.network import connecting
from mintage.network.connecting import connected, in_turns
from mintage.upstream import direct
from mintage.upstream.protocol import HttpRequest
from mintage.upstream.transport import MAX_BODY, HttpTransport
from tests.support.forward_proxy import without_proxies

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)


@asynccontextmanager
async def transport(seconds: float = 5) -> AsyncIterator[HttpTransport]:
    made = HttpTransport(timeout=seconds)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """The URL at which *serve* has each connection. At the end it has seen each one's end."""
    under_way: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        await serve(reader, writer)
        under_way.discard(task)

    async with await asyncio.start_server(tracked, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        while under_way:
            await asyncio.wait(under_way)


class Provider:
    """Gives *answers* in turn, and the last one again; *seen* has the heads and bodies it got."""

    def __init__(self, *answers: bytes, hangs_up: bool = False) -> None:
        self.answers = list(answers)
        self.hangs_up = hangs_up
        self.seen: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[16:]) for line in head.lower().split(b"\r\n")
                     if line.startswith(b"content-length: ")), 0,
                )  # fmt: skip
                self.seen.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                await writer.drain()
                if self.hangs_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def running(self) -> AbstractAsyncContextManager[str]:
        return served(self)


USUAL = [
    "https://idp.example",
    "https://idp.example/",
    "https://idp.example:443/token",
    "http://127.0.0.1:80/a",
    "http://localhost:50123/token?tenant=a-b&x=1_2~",
    "https://login.xn--80ak6aa92e.example/.well-known/openid-configuration",
    "https://idp.example/a//b/..c/d.",
    "https://idp.example?x=1",
    "https://idp.example/?",
]  # fmt: skip


@pytest.mark.parametrize("url", USUAL)
def test_a_usual_url_leads_where_httpx2_says(url: str) -> None:
    """Two ways to read one URL must never lead to two places."""
    assert direct._USUAL.fullmatch(url)
    assert direct.place_of(url) == direct._parsed(url)


@given(st.from_regex(direct._USUAL, fullmatch=True))
def test_any_usual_url_leads_where_httpx2_says(url: str) -> None:
    assert direct.place_of(url) == direct._parsed(url)


@pytest.mark.parametrize(
    "url",
    ["https://IDP.example/", "https://a@idp.example/", "https://idp.example/a/../b", "https://1.2.3",
     "https://idp.example/%7e", "https://idp.example/#a", "ftp://idp.example/", "https://bücher.example/"],
)  # fmt: skip
def test_an_unusual_url_is_left_to_httpx2(url: str) -> None:
    assert direct._USUAL.fullmatch(url) is None


def get(url: str, **headers: str) -> HttpRequest:
    return HttpRequest(method="GET", url=url, headers=headers)


async def test_a_form_is_sent_as_the_standard_says() -> None:
    provider = Provider(OK)
    async with provider.running() as url, transport() as to:
        form = {"code": "a b&c=d", "text": "ü"}
        answer = await to.send(HttpRequest(method="POST", url=f"{url}/token?x=1", form=form))
    assert (answer.status, answer.body) == (200, b"{}")
    head, body = provider.seen[0].split(b"\r\n\r\n")
    assert body == b"code=a+b%26c%3Dd&text=%C3%BC"
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /token?x=1 HTTP/1.1"
    sent = dict(line.split(": ") for line in lines)
    assert sent["host"] == url.removeprefix("http://")
    assert sent["content-type"] == "application/x-www-form-urlencoded"
    assert sent["content-length"] == str(len(body))
    assert sent["accept"] == "application/json"


async def test_a_connection_is_used_again_and_a_closed_one_is_not() -> None:
    provider = Provider(OK)
    async with provider.running() as url, transport() as to:
        for _ in range(3):
            await to.send(get(url))
        assert provider.connections == 1
    provider = Provider(OK, hangs_up=True)
    async with provider.running() as url, transport() as to:
        for _ in range(3):
            await to.send(get(url))
            await asyncio.sleep(0.02)  # its hang-up comes
        assert provider.connections == 3


async def test_an_answer_in_chunks_is_whole() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b'3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
    )  # fmt: skip
    provider = Provider(chunked)
    async with provider.running() as url, transport() as to:
        assert (await to.send(get(url))).body == b'{"a": 1}'


async def test_headers_that_come_twice_are_joined_under_their_lower_case_name() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Two: 1\r\nx-two: 2\r\ncontent-length: 0\r\n\r\n"
    async with Provider(answer).running() as url, transport() as to:
        assert (await to.send(get(url))).headers["x-two"] == "1, 2"


@pytest.mark.parametrize(
    ("coding", "body", "read"),
    [("gzip", gzip.compress(b"{}"), b"{}"), ("br", b"{}", None), ("gzip", b"{}", None),
     ("gzip", gzip.compress(bytes(MAX_BODY + 1)), None)],
    ids=["gzip", "unknown", "broken", "a bomb"],
)  # fmt: skip
async def test_compression_that_was_not_asked_for_is_undone_within_the_limit(
    coding: str, body: bytes, read: bytes | None
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"
    provider = Provider(head.encode() + body)
    async with provider.running() as url, transport() as to:
        if read is not None:
            assert (await to.send(get(url))).body == read
        else:
            with pytest.raises(UpstreamMisbehaved):
                await to.send(get(url))
    assert b"accept-encoding: identity\r\n" in provider.seen[0]


async def test_an_answer_that_is_too_large_is_given_up_and_its_connection_too() -> None:
    body = bytes(MAX_BODY + 1)
    large = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    provider = Provider(large, OK)
    async with provider.running() as url, transport() as to:
        with pytest.raises(UpstreamMisbehaved, match="larger"):
            await to.send(get(url))
        assert (await to.send(get(url))).body == b"{}"
    assert provider.connections == 2


async def test_what_the_provider_gave_begins_no_header_of_its_own() -> None:
    provider = Provider(OK)
    async with provider.running() as url, transport() as to:
        for text in ("Bearer a\r\nx: 1", "Bearer a\nx: 1", "Bearer a\rx", "a\0"):
            with pytest.raises(UpstreamMisbehaved, match="can't be sent"):
                await to.send(get(url, authorization=text))
    assert not provider.seen


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"NOT HTTP\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["hangs up", "half an answer", "two ends", "not HTTP", "switches"],
)
async def test_an_answer_that_breaks_the_protocol_is_an_outage(answer: bytes) -> None:
    async with Provider(answer, hangs_up=True).running() as url, transport() as to:
        with pytest.raises(UpstreamUnavailable, match="can't be reached: it "):
            await to.send(HttpRequest(method="POST", url=url, form={}))


async def test_a_provider_that_says_nothing_is_given_up_in_time() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with served(mute) as url, transport(0.1) as to:
        with pytest.raises(UpstreamUnavailable, match="did not answer in time"):
            await to.send(get(url))


@pytest.mark.parametrize(
    ("url", "error"),
    [("http://a b/", UpstreamMisbehaved), ("http://user:word@127.0.0.1/", UpstreamMisbehaved),
     ("http:///x", UpstreamMisbehaved), ("ftp://127.0.0.1/", UpstreamMisconfigured)],
)  # fmt: skip
async def test_an_endpoint_that_is_no_url_is_never_asked(url: str, error: type[Exception]) -> None:
    async with transport() as to:
        with pytest.raises(error):
            await to.send(get(url))


@pytest.mark.parametrize("host", ["a..example", f"{'a' * 64}.example", ".example"])
async def test_a_host_that_can_be_no_name_is_not_found(host: str) -> None:
    async with transport() as to:
        with pytest.raises(UpstreamUnavailable, match="is not found"):
            await to.send(get(f"http://{host}/"))


async def test_requests_at_once_have_connections_of_their_own_and_keep_twenty() -> None:
    provider, all_are_here = Provider(OK), asyncio.Barrier(40)

    async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await all_are_here.wait()
        await provider(reader, writer)

    async with served(together) as url, transport() as to:
        request = get(url)
        await asyncio.gather(*(to.send(request) for _ in range(40)))
        assert provider.connections == 40
        await asyncio.gather(*(to.send(request) for _ in range(20)))
        assert provider.connections == 40


def test_the_addresses_of_both_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    places = [(six, "a"), (six, "b"), (six, "c"), (four, "d")]
    assert in_turns(places) == [(six, "a"), (four, "d"), (six, "b"), (six, "c")]


async def test_an_address_that_is_mute_does_not_keep_the_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Provider(OK).running() as url:
        port = int(url.rpartition(":")[2])
        loop = asyncio.get_running_loop()
        connect, waited = loop.sock_connect, asyncio.Event()

        async def found(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, 1, 6, "", (host, port)) for host in ("192.0.2.1", "127.0.0.1")]

        async def sock_connect(made: socket.socket, address: tuple[str, int]) -> None:
            if address[0] == "192.0.2.1":
                await waited.wait()  # a network that swallows it
            await connect(made, address)

        monkeypatch.setattr(loop, "getaddrinfo", found)
        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        monkeypatch.setattr(connecting, "_STAGGER", 0.01)
        made = await connected("provider.example", port)
        assert made.getpeername() == ("127.0.0.1", port)
        made.close()
