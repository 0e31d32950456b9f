"""nginx keeps answers as in the manual: no request may get the answer to another one."""

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from mintage.gateway.forward_auth import ANSWERED, ForwardAuth
from mintage.testing.nanoidp import free_port
from tests.support.proxies import (
    KEEPING,
    Keeper,
    blocks,
    nginx,
    nginx_command,
    program,
    replaced,
    running,
)
from tests.support.raw_backend import RawBackend, access_token, raw_answer, token_for
from tests.support.world import World

CALL = (
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
)
MANY = [f"X-{number}: a" for number in range(120)]  # a script that lists headers may stop at 100


@dataclass
class Asked:
    """What nginx asked Mintage about: (method, target)."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seen)


@pytest.fixture
def listen() -> int:
    return free_port()


@pytest.fixture
def overrides(listen: int) -> dict[str, Any]:
    delete = {"methods": ["DELETE"], "scopes": ["admin"]}
    keys = {"path": "/keys", "scopes": ["admin"]}
    drop = {
        "methods": ["POST"],
        "mcp_methods": ["tools/call"],
        "mcp_names": ["drop"],
        "scopes": ["admin"],
    }
    resource = {"scopes": ["tools"], "optional_scopes": ["admin"], "credential": "identity"}
    return {
        "issuer": f"http://127.0.0.1:{listen}",
        "resource": [
            {
                "path": "/mcp",
                "rule": [delete, keys, drop],
                "backend_compares_mcp_headers_with_the_body": True,
                **resource,
            },
            {"path": "/other", "scopes": ["tools"]},
        ],
        "gateway": {"forward_auth": "nginx"},
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Notes each question. The real answer is given."""
    asked, answer = Asked(), ForwardAuth.answer

    async def noted(
        self: ForwardAuth, known: Any, head: Any, scope: Scope, *more: Any, **named: Any
    ) -> None:
        described = dict(scope["headers"])
        asked.seen.append(
            (described[b"x-original-method"].decode(), described[b"x-original-uri"].decode())
        )
        return await answer(self, known, head, scope, *more, **named)

    monkeypatch.setattr(ForwardAuth, "answer", noted)
    return asked


@pytest.fixture(params=["proxy_cache", "lua"])
def keeper(request: pytest.FixtureRequest) -> Keeper:
    found: Keeper = request.param
    return found


@pytest.fixture
async def site(
    world: World,
    raw: RawBackend,
    listen: int,
    tmp_path: Path,
    asked: Asked,
    asked_at: int | Path,
    keeper: Keeper,
) -> AsyncIterator[World]:
    async with nginx(tmp_path, listen=listen, mintage=asked_at, tools=raw.port, keeper=keeper):
        yield world


async def send(
    site: World, token: str | None, *lines: str, method: str = "GET", path: str = "/mcp/x"
) -> int:
    """The status of a request, byte by byte."""
    head = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close"]
    if token is not None:
        head.append(f"Authorization: Bearer {token}")
    answer = await raw_answer(site, "\r\n".join([*head, *lines, "", ""]).encode("latin-1"))
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    assert found is not None, answer
    return int(found[1])


def users(raw: RawBackend) -> list[bytes]:
    return [dict(scope["headers"])[b"x-forwarded-user"] for scope in raw.seen]


async def test_the_same_request_is_asked_about_once(
    site: World, raw: RawBackend, asked: Asked
) -> None:
    token = await access_token(site)
    assert [await send(site, token) for _ in range(5)] == [200] * 5
    assert asked.seen == [("GET", "/mcp/x")]
    assert users(raw) == [b"alice"] * 5
    for scope in raw.seen:
        assert token.encode() not in b"".join(value for _, value in scope["headers"])


async def test_what_is_not_judged_makes_no_other_key(site: World, asked: Asked) -> None:
    token = await access_token(site)
    for lines in ((), ("Cookie: a=b",), ("User-Agent: another",), ("X-Forwarded-User: root",)):
        assert await send(site, token, *lines) == 200
    assert len(asked) == 1


async def test_attack_e04_what_a_kept_answer_does_not_say_is_not_what_the_client_says(
    site: World, raw: RawBackend, asked: Asked
) -> None:
    """It leaves out what is empty: nginx must not pass on the client's own in its place."""
    token = await access_token(site)
    for claims in ([], [f"{name}: root" for name in ANSWERED if name != "authorization"]):
        for _ in range(2):
            assert await send(site, token, *claims) == 200
    assert len(asked) == 1
    for scope in raw.seen:
        told = {name.decode(): value for name, value in scope["headers"]}
        assert set(ANSWERED) & told.keys() == {"x-forwarded-user"}
        assert told["x-forwarded-user"] == b"alice"


async def test_attack_e13_no_request_rides_on_the_answer_to_another_one(
    site: World, raw: RawBackend, asked: Asked
) -> None:
    """Each of them is refused by its own: the answer before it is 200, and kept."""
    token, other = await access_token(site), await access_token(site, "/other")
    assert await send(site, token) == 200
    riders: list[tuple[str | None, tuple[str, ...], str, str]] = [
        (None, (), "GET", "/mcp/x"),
        (other, (), "GET", "/mcp/x"),
        (token[:-1], (), "GET", "/mcp/x"),
        (token + "A", (), "GET", "/mcp/x"),
        (token.swapcase(), (), "GET", "/mcp/x"),
        (f"{token} {token}", (), "GET", "/mcp/x"),
        (token, (), "DELETE", "/mcp/x"),
        (token, (), "get", "/mcp/x"),
        (token, (), "GET", "/mcp/keys"),
        (token, (), "GET", "/mcp/KEYS"),
        (token, (), "GET", "/mcp/keys/../x"),
        (token, (), "GET", "/mcp//x"),
        (token, (), "GET", "/mcp/./x"),
        (token, (), "GET", "/mcp/%78"),
        (token, (), "GET", "/mcp/x%2f..%2fkeys"),
        (token, (), "GET", "/mcp/%2e%2e/mcp/x"),
        (token, (), "GET", "//mcp/x"),
        (token, (), "GET", "/x/../mcp/x"),
        (token, ("Origin: https://evil.example",), "GET", "/mcp/x"),
        (token, ("oRiGiN: https://evil.example",), "GET", "/mcp/x"),
        (token, ("Origin: null",), "GET", "/mcp/x"),
        (token, (*MANY, "Origin: https://evil.example"), "GET", "/mcp/x"),
        (token, ("Mcp-Name: a", *CALL), "POST", "/mcp/keys"),
        (token, ("Mcp-Name: drop", *CALL), "POST", "/mcp/x"),
        (token, ("MCP-NAME: DROP", *CALL), "POST", "/mcp/x"),
        (token, ("Content-Length: 0",), "POST", "/mcp/x"),
        (token, ("Authorization: Bearer x",), "GET", "/mcp/x"),
    ]
    for who, lines, method, path in riders:
        assert 400 <= await send(site, who, *lines, method=method, path=path) < 500, (lines, path)
    assert len(raw.seen) == 1
    assert await send(site, token) == 200
    # All of them were refused by Mintage, or by nginx itself before it had an answer.
    assert asked.seen.count(("GET", "/mcp/x")) >= 7


async def test_attack_e13_what_is_moved_from_one_header_to_the_next_is_another_key(
    site: World, raw: RawBackend, asked: Asked
) -> None:
    """Joined without a separator, both have the same key."""
    token = await access_token(site)
    version, _ = CALL
    allowed = (version, "Mcp-Method: tools/calldr", "Mcp-Name: op")
    refused = (version, "Mcp-Method: tools/call", "Mcp-Name: drop")
    assert await send(site, token, *allowed, method="POST") == 200
    assert await send(site, token, *refused, method="POST") == 403
    for mark in ("\\n", " ", "\t", "|", "%0A", "\x85", ";"):
        moved = (version, f"Mcp-Method: tools/call{mark}drop", "Mcp-Name:")
        assert await send(site, token, *moved, method="POST") in (200, 400, 403)
        assert await send(site, token, *refused, method="POST") == 403
    (*passed,) = (dict(scope["headers"])[b"mcp-method"] for scope in raw.seen)
    assert b"tools/call" not in passed


@pytest.mark.parametrize("name", ["Mcp-Name", "Mcp-Method", "MCP-Protocol-Version", "Origin"])
async def test_attack_e13_the_backend_gets_the_one_line_that_was_judged(
    site: World, raw: RawBackend, name: str
) -> None:
    """Of two lines nginx judges by the first, or by both joined. The backend sees nothing else."""
    token = await access_token(site)
    good = {
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "ping",
        "Mcp-Name": "list",
        "Origin": "http://localhost",
    }
    lines = [f"{key}: {value}" for key, value in good.items()]
    assert await send(site, token, *lines, method="POST") == 200
    for second in ("drop", "tools/call", "2020-01-01", "https://evil.example"):
        await send(site, token, *lines, f"{name}: {second}", method="POST")
        await send(site, token, f"{name}: {second}", *lines, method="POST")
    for scope in raw.seen:
        assert [key for key, _ in scope["headers"]].count(name.lower().encode()) == 1
        seen = dict(scope["headers"])
        assert (seen[b"mcp-method"], seen[b"mcp-name"]) != (b"tools/call", b"drop")


async def test_attack_e13_no_request_rides_on_the_one_before_it_on_its_connection(
    site: World, raw: RawBackend
) -> None:
    token = await access_token(site)
    known = f"Authorization: Bearer {token}\r\n"
    requests = (
        ("GET /mcp/x", known),
        ("DELETE /mcp/x", known),
        ("GET /mcp/keys", known),
        ("GET /mcp/x", ""),
        ("GET /mcp/x", f"{known}Connection: close\r\n"),
    )
    sent = "".join(f"{line} HTTP/1.1\r\nHost: a\r\n{more}\r\n" for line, more in requests)
    for _ in range(2):
        answers = await raw_answer(site, sent.encode())
        assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"200", b"403", b"403", b"401", b"200"]
    assert users(raw) == [b"alice"] * 4


async def test_attack_e13_each_user_gets_an_answer_of_their_own(
    site: World, raw: RawBackend
) -> None:
    tokens = {
        name: await token_for(site.running, site.resource, now=int(site.clock()), subject=name)
        for name in ("alice", "bob")
    }
    for _ in range(3):
        for token in tokens.values():
            assert await send(site, token) == 200
    assert users(raw) == [b"alice", b"bob"] * 3


async def test_attack_e13_a_revoked_token_is_refused_when_the_answer_has_expired(
    site: World, raw: RawBackend, asked: Asked
) -> None:
    """nginx has a clock of its own; five seconds is what is promised."""
    client = await site.client()
    async with site.browser() as browser:
        tokens = await client.tokens(browser)
    token = tokens["access_token"]
    assert await send(site, token) == 200
    began = asyncio.get_running_loop().time()
    await client.revoke(tokens["refresh_token"])
    async with asyncio.timeout(20):
        while await send(site, token) == 200:
            await asyncio.sleep(0.2)
    assert asyncio.get_running_loop().time() - began < 5.5
    assert await send(site, token) == 401


async def test_attack_e13_an_expired_answer_is_not_given_again(
    site: World, raw: RawBackend, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx's cache keeps the files open; each answer names another user here."""
    answer = ForwardAuth.answer

    async def numbered(
        self: ForwardAuth,
        known: Any,
        head: Any,
        scope: Scope,
        receive: Receive,
        send: Send,
        keep: Any = None,
    ) -> None:
        async def other(message: Message) -> None:
            if message["type"] == "http.response.start":
                user = f"user-{len(asked)}".encode()
                headers = dict(message["headers"]) | {b"x-forwarded-user": user}
                message = {**message, "headers": [*headers.items()]}
            await send(message)

        await answer(self, known, head, scope, receive, other, keep)

    monkeypatch.setattr(ForwardAuth, "answer", numbered)
    token = await access_token(site)
    async with asyncio.timeout(30):
        while len(asked) < 3:
            assert await send(site, token) == 200
            assert users(raw)[-1] == f"user-{len(asked)}".encode()
            await asyncio.sleep(0.2)


async def test_refusals_are_asked_about_again(site: World, asked: Asked) -> None:
    for _ in range(3):
        assert await send(site, None) == 401
    assert len(asked) == 3


@pytest.mark.parametrize("keeper", ["proxy_cache"])
async def test_attack_e13_the_files_are_for_nginx_alone_and_their_names_tell_nothing(
    site: World, tmp_path: Path
) -> None:
    token = await access_token(site)
    assert await send(site, token) == 200
    directory = tmp_path / "kept"
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", files[0].name)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def changed_script(directory: Path, changes: dict[str, str]) -> None:
    script = directory / "mintage_answers.lua"
    script.write_text(replaced(script.read_text(), changes))


async def test_attack_e13_a_full_memory_mixes_no_users(
    world: World, raw: RawBackend, listen: int, tmp_path: Path, asked: Asked
) -> None:
    names = [f"user-{number}" for number in range(4)]
    tokens = [
        await token_for(world.running, world.resource, now=int(world.clock()), subject=name)
        for name in names
    ]
    port = raw.port
    command = nginx_command(tmp_path, listen=listen, mintage=world.port, tools=port, keeper="lua")
    changed_script(tmp_path, {"MOST, BYTES = 2000": "MOST, BYTES = 2"})
    async with running(*command, port=listen, log=tmp_path / "log"):
        for _ in range(3):
            for token in tokens:
                assert await send(world, token) == 200
    assert users(raw) == [name.encode() for name in names] * 3
    assert len(asked) == 12


async def test_a_long_key_is_not_kept(site: World, asked: Asked, keeper: Keeper) -> None:
    """What a worker of nginx keeps in memory has a bound; the cache has one for its files."""
    token, path = await access_token(site), f"/mcp/{'x' * 8000}"
    assert [await send(site, token, path=path) for _ in range(2)] == [200, 200]
    assert len(asked) == (2 if keeper == "lua" else 1)


@pytest.mark.parametrize(
    "broken", ["local now, answer =", "pass_on(said(TO_CLIENT))", "pass_on(answer)\n  local"]
)
async def test_attack_d11_a_script_that_fails_lets_nobody_in(
    world: World, raw: RawBackend, listen: int, tmp_path: Path, broken: str
) -> None:
    port = raw.port
    command = nginx_command(tmp_path, listen=listen, mintage=world.port, tools=port, keeper="lua")
    changed_script(tmp_path, {broken: f'error("broken") {broken}'})
    async with running(*command, port=listen, log=tmp_path / "log"):
        token = await access_token(world)
        sent = f"GET /mcp/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        for _ in range(2):
            answer = await raw_answer(world, sent.encode())
            assert answer.startswith(b"HTTP/1.1 503 ") or not answer
    assert raw.seen == []


async def by_http2(url: str, *options: str) -> str:
    """The version and the status of curl's answer."""
    said = ("-so", os.devnull, "-w", "%{http_version} %{http_code}", "--http2-prior-knowledge")
    process = await asyncio.create_subprocess_exec(
        program("curl"), *said, *options, url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_the_script_keeps_answers_for_http2_as_well(
    world: World, raw: RawBackend, listen: int, tmp_path: Path, asked: Asked
) -> None:
    port = raw.port
    command = nginx_command(tmp_path, listen=listen, mintage=world.port, tools=port, keeper="lua")
    file = tmp_path / "nginx.conf"
    file.write_text(replaced(file.read_text(), {f":{listen};": f":{listen} http2;"}))
    sent = ("-H", f"Authorization: Bearer {await access_token(world)}")
    calls: tuple[tuple[str, ...], ...] = (), (), (), ("-X", "DELETE")
    async with running(*command, port=listen, log=tmp_path / "log"):
        answers = [await by_http2(f"http://127.0.0.1:{listen}/mcp/x", *sent, *c) for c in calls]
    assert answers == ["2 200", "2 200", "2 200", "2 403"]
    assert asked.seen == [("GET", "/mcp/x"), ("DELETE", "/mcp/x")]
    assert users(raw) == [b"alice"] * 3


async def test_one_sees_which_answers_were_kept(
    world: World, raw: RawBackend, listen: int, tmp_path: Path
) -> None:
    """With the two lines of the page."""
    _, lines, _ = blocks("nginx", KEEPING)
    command = nginx_command(
        tmp_path, listen=listen, mintage=world.port, tools=raw.port, keeper="proxy_cache"
    )
    file = tmp_path / "nginx.conf"
    place = "        auth_request /_mintage/verify;\n"
    file.write_text(replaced(file.read_text(), {place: place + lines}))
    async with running(*command, port=listen, log=tmp_path / "log"):
        sent = {"authorization": f"Bearer {await access_token(world)}"}
        answers = [await world.http.get(f"{world.resource}/x", headers=sent) for _ in range(2)]
    assert [answer.headers["x-kept"] for answer in answers] == ["MISS", "HIT"]


async def test_attack_e13_a_cache_with_a_key_of_its_own_keeps_nothing(
    world: World, raw: RawBackend, listen: int, tmp_path: Path, asked: Asked
) -> None:
    """An operator turned nginx's cache on for everything: its usual key is the address alone."""
    command = nginx_command(tmp_path, listen=listen, mintage=world.port, tools=raw.port)
    file = tmp_path / "nginx.conf"
    cache = f"proxy_cache_path {tmp_path}/all keys_zone=all:1m; proxy_cache all;"
    file.write_text(file.read_text().replace("access_log off;", f"access_log off; {cache}"))
    async with running(*command, port=listen, log=tmp_path / "log"):
        token = await access_token(world)
        assert [await send(world, token) for _ in range(2)] == [200, 200]
        assert await send(world, None) == 401
        assert await send(world, token, method="DELETE") == 403
    assert len(asked) == 4
