"""What every proxy of the manual must do, each of them run with the manual's configuration."""

import re
import string
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from mintage.gateway.forward_auth import ANSWERED, MAX_ANSWER
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.proxies import caddy, envoy, haproxy, nginx
from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World

Front = Callable[..., AbstractAsyncContextManager[object]]

FRONTS: Final[dict[str, Front]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "envoy": envoy,
}
# RFC 9110 §5.6.2, without letters and digits.
PUNCTUATION: Final = "!#$%&'*+-.^_`|~"
CLAIMED: Final = (*ANSWERED[:-1], "remote-user", "x-remote-user", "x-real-ip", "x-forwarded-for")


class Talker(RawBackend):
    """Says who is calling over a WebSocket too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await super().__call__(scope, receive, send)
        await receive()
        await send({"type": "websocket.accept"})
        user = dict(scope["headers"])[b"x-forwarded-user"]
        return await send({"type": "websocket.send", "text": user.decode()})


@pytest.fixture
async def raw() -> AsyncIterator[RawBackend]:
    backend = Talker(free_port())
    config = uvicorn.Config(
        backend, port=backend.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=256 * 1024,
    )  # fmt: skip
    async with serving(uvicorn.Server(config)):
        yield backend


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def credential() -> str:
    return "identity"


@pytest.fixture
def listen() -> int:
    return free_port()


@pytest.fixture
def overrides(listen: int, front: str, credential: str) -> dict[str, Any]:
    return {
        "issuer": f"http://127.0.0.1:{listen}",
        "resource": [{"path": "/mcp", "scopes": ["tools"], "credential": credential}],
        "gateway": {"forward_auth": front},
    }


@pytest.fixture
async def site(
    world: World, raw: RawBackend, listen: int, front: str, tmp_path: Path
) -> AsyncIterator[World]:
    async with FRONTS[front](tmp_path, listen=listen, mintage=world.port, tools=raw.port):
        yield world


def folded(scope: Scope) -> dict[str, list[str]]:
    """The headers that a backend got, as CGI and its like read them."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        letters = (c if c.isalnum() else "_" for c in name.decode("latin-1").lower())
        found.setdefault("".join(letters), []).append(value.decode("latin-1"))
    return found


async def ask(site: World, *lines: str, **user: Any) -> bytes:
    """A GET of ``/mcp/x`` with the header *lines*, byte by byte."""
    token = await access_token(site, **user)
    head = ["GET /mcp/x HTTP/1.1", f"Host: {site.issuer[7:]}", f"Authorization: Bearer {token}"]
    return await raw_answer(site, "\r\n".join([*head, *lines, "", ""]).encode("latin-1"))


async def test_attack_e04_no_spelling_of_a_claimed_header_reaches_the_backend(
    site: World, raw: RawBackend
) -> None:
    for mark in PUNCTUATION:
        for change in (str.lower, string.capwords, str.upper):
            lines = [f"{change(name.replace('-', mark))}: root" for name in CLAIMED]
            lines += [f"{change(name.replace('-', mark, 1))}: root" for name in CLAIMED]
            await ask(site, *lines, "Connection: close")
    assert len(raw.seen) > 30  # a proxy may refuse some of them
    for scope in raw.seen:
        seen = folded(scope)
        assert seen["x_forwarded_user"] == ["alice"]
        assert "root" not in str(seen)


@pytest.mark.parametrize(
    "lines",
    [
        ("Connection: x-forwarded-user, authorization, x-forwarded-email",),
        ("Connection: close, X-Forwarded-User",),
        ("Connection: upgrade", "Connection: x-forwarded-user"),
        ("Connection: keep-alive", "Connection: x-forwarded-user", "X-Forwarded-User: root"),
        ("Connection: Upgrade, x-forwarded-user", "Upgrade: nothing"),
    ],
)
async def test_attack_e04_connection_drops_nothing_that_was_set(
    site: World, raw: RawBackend, front: str, lines: tuple[str, ...]
) -> None:
    """Envoy takes out what it names before it asks, and so the token; nothing passes then."""
    answer = await ask(site, *lines)
    users = [folded(scope)["x_forwarded_user"] for scope in raw.seen]
    refused = front == "envoy" and re.match(rb"HTTP/1.1 40[13] ", answer)
    assert users == ([] if refused else [["alice"]])


@pytest.mark.parametrize("credential", ["none", "identity"])
async def test_attack_e04_what_is_not_known_of_a_user_arrives_empty_or_not_at_all(
    site: World, raw: RawBackend
) -> None:
    lines = [f"{name}: root" for name in ANSWERED if name != "authorization"]
    assert (await ask(site, *lines)).startswith(b"HTTP/1.1 200 ")
    (scope,) = raw.seen
    told = site.app.config.resources[0].credential == "identity"
    known = {"x-forwarded-user": "alice"} if told else {}
    seen = folded(scope)
    for name in ANSWERED:
        assert seen.get(name.replace("-", "_"), [""]) == [known.get(name, "")]


@pytest.mark.parametrize("credential", ["upstream"])
@pytest.mark.parametrize("size", [14_000, MAX_ANSWER - 1000])
async def test_the_largest_token_passes(site: World, raw: RawBackend, size: int) -> None:
    assert (await ask(site, upstream="u" * size)).startswith(b"HTTP/1.1 200 ")
    assert folded(raw.seen[0])["authorization"] == ["Bearer " + "u" * size]


async def test_the_groups_of_a_user_in_hundreds_pass_as_far_as_mintage_tells_them(
    site: World, raw: RawBackend
) -> None:
    groups = [str(UUID(int=number)) for number in range(400)]
    assert (await ask(site, claims={"groups": groups})).startswith(b"HTTP/1.1 200 ")
    seen = folded(raw.seen[0])
    (told,) = seen["x_forwarded_groups"]
    assert groups[:200] == told.split(",")[:200]
    assert seen["x_forwarded_groups_truncated"] == ["true"]


@pytest.mark.parametrize("credential", ["upstream"])
async def test_a_token_that_is_too_large_is_refused_and_is_no_outage(site: World) -> None:
    assert (await ask(site, upstream="u" * (MAX_ANSWER + 1))).startswith(b"HTTP/1.1 403 ")


async def test_who_is_refused_gets_the_reference_that_the_log_has(
    site: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for path, status in (("/mcp/x", 401), ("/mcp//x", 403)):
        head = f"GET {path} HTTP/1.1\r\nHost: {site.issuer[7:]}\r\n"
        sent = head + ("Authorization: Bearer abc\r\n" if status == 401 else "") + "\r\n"
        answer = await raw_answer(site, sent.encode())
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        [reference] = re.findall(rb"\r\nx-request-id: (.+?)\r\n", answer, re.IGNORECASE)
        assert f"{reference.decode()} GET {path} from 127.0.0.1: 40" in caplog.text


async def test_websocket_passes(site: World) -> None:
    url = f"{site.resource}/socket".replace("http:", "ws:")
    sent = {"authorization": f"Bearer {await access_token(site)}", "x-forwarded-user": "root"}
    async with connect(url, additional_headers=sent, proxy=None) as socket:
        assert await socket.recv() == "alice"
