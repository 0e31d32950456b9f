"""WebSockets through the gateway: let in as requests are, and ended when the login is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from mintage.errors import TemporarilyUnavailable
from mintage.gateway import websocket
from mintage.gateway.websocket import MAX_MESSAGE
from mintage.testing.nanoidp import free_port
from tests.support.dpop import BoundClient, Prover
from tests.support.raw_backend import access_token
from tests.support.world import World

HOUR = 3600


@dataclass
class Talker:
    """A backend that echoes; some words make it do something else."""

    seen: list[Request] = field(default_factory=list)
    refusal: int | None = None
    ended: asyncio.Queue[tuple[int | None, str | None]] = field(default_factory=asyncio.Queue)
    flood: int = 0  # how many messages it got out

    async def __call__(self, socket: ServerConnection) -> None:
        try:
            async for message in socket:
                await self._answer(socket, message)
        except ConnectionClosed:
            pass
        finally:
            self.ended.put_nowait((socket.close_code, socket.close_reason))

    async def _answer(self, socket: ServerConnection, message: str | bytes) -> None:
        match message:
            case "bye":
                await socket.close(4001, "as you wish")
            case "die":
                socket.transport.abort()
            case "huge":
                await socket.send(b"a" * (MAX_MESSAGE + 1))
            case "flood":
                for self.flood in range(1000):
                    await socket.send(b"a" * 100_000)
            case _:
                await socket.send(message)

    async def look(self, socket: ServerConnection, request: Request) -> Response | None:
        self.seen.append(request)
        if self.refusal is None:
            return None
        answer = socket.respond(HTTPStatus(self.refusal), "not you")
        answer.headers["X-Why"] = "because"
        return answer


def chosen(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("other") if "other" in offered else None


@pytest.fixture
async def talker() -> Talker:
    return Talker()


@pytest.fixture
async def overrides(talker: Talker) -> AsyncIterator[dict[str, Any]]:
    port = free_port()
    async with serve(
        talker, "127.0.0.1", port, process_request=talker.look,
        select_subprotocol=chosen, max_size=2 * MAX_MESSAGE,
    ):  # fmt: skip
        backends = {"/mcp": port, "/down": free_port()}
        yield {
            "resource": [
                {"path": path, "backend": f"http://127.0.0.1:{at}/base", "scopes": ["tools"]}
                | {"credential": "identity"}
                for path, at in backends.items()
            ]
        }


@asynccontextmanager
async def connected(
    world: World, path: str = "/mcp", *, token: str | None = None, **more: Any
) -> AsyncIterator[ClientConnection]:
    if token is None:
        token = await access_token(world, "/" + path.split("/")[1])
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    url = world.issuer.replace("http", "ws", 1) + path
    async with (
        asyncio.timeout(20),
        connect(url, additional_headers=headers, proxy=None, **more) as socket,
    ):
        yield socket


async def refusal(world: World, path: str = "/mcp", **more: Any) -> Any:
    """The answer that a client gets in place of an upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        async with connected(world, path, **more):
            pass
    return caught.value.response


async def test_text_and_bytes_go_both_ways(world: World, talker: Talker) -> None:
    async with connected(world, "/mcp/chat?room=%2F1") as socket:
        for message in ("grüß dich", b"\0\xff", "", b"", "x" * 1_000_000):
            await socket.send(message)
            assert await socket.recv() == message
    assert talker.seen[0].path == "/base/chat?room=%2F1"


async def test_the_backend_gets_our_word_and_no_token(world: World, talker: Talker) -> None:
    token = await access_token(world)
    sent = {"X-Forwarded-User": "root", "X_Forwarded_User": "root", "X-Mine": "1"}
    async with connected(world, token=token, headers=sent):
        headers = list(talker.seen[0].headers.raw_items())
    assert "root" not in str(headers)
    assert token not in str(headers)
    values = dict(headers)
    assert (values["x-forwarded-user"], values["x-mine"]) == ("alice", "1")
    assert values["x-forwarded-proto"] == "http"
    for name in ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Connection", "Upgrade", "Host"):
        assert len([1 for found, _ in headers if found.lower() == name.lower()]) == 1


async def test_the_backend_chooses_the_subprotocol(world: World) -> None:
    offered = [Subprotocol("unknown"), Subprotocol("other")]
    async with connected(world, subprotocols=offered) as socket:
        assert socket.subprotocol == "other"
    async with connected(world) as socket:
        assert socket.subprotocol is None


async def test_the_clients_close_reaches_the_backend(world: World, talker: Talker) -> None:
    async with connected(world) as socket:
        await socket.close(4000, "done")
    assert await talker.ended.get() == (4000, "done")


async def test_a_client_that_vanishes_is_gone_for_the_backend(world: World, talker: Talker) -> None:
    async with connected(world) as socket:
        socket.transport.abort()
        assert (await talker.ended.get())[0] in (1000, 1001)


@pytest.mark.parametrize(
    ("word", "code", "reason"),
    [("bye", 4001, "as you wish"), ("die", 1014, ""), ("huge", 1009, None)],
)
async def test_the_backends_close_reaches_the_client(
    world: World, word: str, code: int, reason: str | None
) -> None:
    async with connected(world, max_size=None) as socket:
        await socket.send(word)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == code
        assert reason in (None, socket.close_reason)


async def test_a_message_that_is_too_large_ends_the_conversation(
    world: World, talker: Talker
) -> None:
    async with connected(world) as socket:
        await socket.send(b"a" * (MAX_MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1009
    await talker.ended.get()


async def test_a_client_that_does_not_read_holds_the_backend_back(
    world: World, talker: Talker
) -> None:
    async with connected(world, max_queue=1, compression=None) as socket:
        await socket.send("flood")
        await socket.recv()
        before = -1
        while talker.flood != before:  # until it comes to a stop
            before = talker.flood
            await asyncio.sleep(0.2)
        assert talker.flood < 500  # 100 MB would have been all of it


@pytest.mark.parametrize("token", ["", "nonsense", "eyJhbGciOiJub25lIn0.e30."])
async def test_without_a_good_token_there_is_no_upgrade(
    world: World, talker: Talker, token: str
) -> None:
    answer = await refusal(world, token=token)
    assert answer.status_code in (400, 401)
    metadata = "/.well-known/oauth-protected-resource/mcp"
    assert metadata in answer.headers["www-authenticate"]
    assert talker.seen == []


async def test_attack_a09_a_token_for_a_sibling_opens_no_socket(
    world: World, talker: Talker
) -> None:
    answer = await refusal(world, token=await access_token(world, "/down"))
    assert answer.status_code == 401
    assert talker.seen == []


async def test_a_page_of_another_site_opens_no_socket(world: World, talker: Talker) -> None:
    answer = await refusal(world, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert talker.seen == []


@pytest.mark.parametrize("path", ["/nothing", "/mcp/..%2fx", "/mcp//x", "/token"])
async def test_attack_d09_other_paths_open_no_socket(
    world: World, talker: Talker, path: str
) -> None:
    answer = await refusal(world, path, token=await access_token(world))
    assert answer.status_code == 403
    assert talker.seen == []


async def test_a_backend_that_is_down_is_a_502(world: World) -> None:
    answer = await refusal(world, "/down")
    assert (answer.status_code, answer.headers["retry-after"]) == (502, "5")


@pytest.mark.parametrize("status", [302, 404, 503])
async def test_a_backend_may_decline_in_its_own_words(
    world: World, talker: Talker, status: int
) -> None:
    talker.refusal = status
    answer = await refusal(world)
    assert (answer.status_code, answer.headers["x-why"]) == (status, "because")
    assert answer.body == b"not you"
    assert len(talker.seen) == 1


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LOOK_AGAIN_SECONDS", 0.02)


@pytest.mark.usefixtures("often")
async def test_a_conversation_ends_with_its_token(world: World, talker: Talker) -> None:
    async with connected(world) as socket:
        await socket.send("still here")
        assert await socket.recv() == "still here"
        world.clock.advance(2 * HOUR)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1008
    assert (await talker.ended.get())[0] == 1008


@pytest.mark.usefixtures("often")
async def test_a_conversation_ends_with_its_login(world: World, talker: Talker) -> None:
    async with connected(world) as socket:
        await socket.send("still here")
        assert await socket.recv() == "still here"
        listing = world.running.vault.listing
        async for grant in listing.find():
            await listing.end(grant)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1008
        assert "revoked" in (socket.close_reason or "")


@pytest.mark.usefixtures("often")
async def test_an_outage_ends_no_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    def away(*_: object) -> None:
        asked.set()
        raise TemporarilyUnavailable("the store is not available")

    async with connected(world) as socket:
        monkeypatch.setattr(type(world.running.bearer), "at_hand", away)
        await asked.wait()
        asked.clear()
        await asked.wait()
        await socket.send("still here")
        assert await socket.recv() == "still here"


async def test_a_backend_has_so_many_conversations_at_once(world: World) -> None:
    pool = world.running.gateway.resources["/mcp"].pool
    assert pool is not None
    async with connected(world):
        assert pool._taken == 1
    async with asyncio.timeout(5):
        while pool._taken:
            await asyncio.sleep(0.01)


async def test_spec122_a_bound_token_opens_a_websocket_with_its_proof(
    world: World, talker: Talker
) -> None:
    """The opening request is a GET to the URL (RFC 6455 §4.1), with ws or http in ``htu``."""
    client = BoundClient(await world.client(), world.clock)
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    assert client.prover is not None
    plain = world.resource
    for uri in (plain, plain.replace("http", "ws", 1)):
        headers = client.prover.headers("GET", uri, token, now=world.clock())
        url = plain.replace("http", "ws", 1)
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        assert "dpop" not in talker.seen[-1].headers
        assert "authorization" not in talker.seen[-1].headers
        with pytest.raises(InvalidStatus) as caught:  # the same proof once more
            await connect(url, additional_headers=headers, proxy=None)
        assert caught.value.response.status_code == 401
    thief = Prover.fresh().headers("GET", plain, token, now=world.clock())
    for headers in (thief, {"authorization": f"Bearer {token}"}):
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, additional_headers=headers, proxy=None)
        assert caught.value.response.status_code == 401
    assert len(talker.seen) == 2
