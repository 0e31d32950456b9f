"""Rules about MCP, in front of servers of the official SDK: what they ran is what counts."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.proxies import program
from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World

NEW = "2026-07-28"
KINDS = {
    "sessions, event streams": {},
    "sessions, JSON": {"json_response": True},
    "no sessions, event streams": {"stateless_http": True},
    "no sessions, JSON": {"stateless_http": True, "json_response": True},
}


@dataclass
class Tools:
    """A server with a harmless tool and a dangerous one. *ran*: what it did."""

    port: int
    ran: list[str] = field(default_factory=list)

    def app(self, **how: Any) -> Any:
        server = MCPServer("tools", log_level="CRITICAL")

        @server.tool()
        def list_users() -> str:
            """List them."""
            self.ran.append("list_users")
            return "alice"

        @server.tool()
        def drop_users() -> str:
            """Drop them all."""
            self.ran.append("drop_users")
            return "gone"

        @server.prompt()
        def drop_politely() -> str:
            return "please drop them"

        @server.prompt()
        def greet() -> str:
            return "hello"

        @server.resource("notes://public/1")
        def public() -> str:
            return "public"

        @server.resource("notes://secret/1")
        def secret() -> str:
            self.ran.append("secret")
            return "secret"

        @server.resource("notes://secret/{name}")
        def any_secret(name: str) -> str:
            self.ran.append(f"secret {name}")
            return name

        return server.streamable_http_app(**how)


@pytest.fixture(params=KINDS, ids=str)
async def tools(request: pytest.FixtureRequest) -> AsyncIterator[Tools]:
    made = Tools(free_port())
    config = uvicorn.Config(
        made.app(**KINDS[request.param]),
        host="127.0.0.1",
        port=made.port,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    async with serving(uvicorn.Server(config)):
        yield made


one_kind = pytest.mark.parametrize("tools", ["no sessions, JSON"], indirect=True)
RULES = [
    {"mcp_methods": ["tools/call", "prompts/get"], "mcp_names": ["drop_*"], "scopes": ["admin"]},
    {"mcp_names": ["notes://secret/*"], "scopes": ["admin"]},
]


@pytest.fixture
def overrides(tools: Tools, raw: RawBackend) -> dict[str, Any]:
    common = {"scopes": ["tools"], "optional_scopes": ["admin"], "rule": RULES}
    return {
        "resource": [
            {
                "path": "/mcp",
                "backend": f"http://127.0.0.1:{tools.port}/mcp",
                "filter_lists": True,
                **common,
            },
            {"path": "/raw", "backend": f"http://127.0.0.1:{raw.port}", **common},
        ]
    }


def message(method: str, number: int = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def call_of(name: str, number: int = 1) -> dict[str, Any]:
    return message("tools/call", number, name=name, arguments={})


@dataclass
class Caller:
    world: World
    token: str
    path: str = "/mcp"

    async def post(self, body: object, **headers: str) -> httpx2.Response:
        sent = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.world.issuer}{self.path}"
        return await self.world.http.post(url, content=content, headers=sent)


@pytest.fixture
async def caller(world: World) -> Caller:
    return Caller(world, await access_token(world))


@pytest.fixture
async def to_raw(world: World) -> Caller:
    return Caller(world, await access_token(world, "/raw"), "/raw/upload")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_sees_and_calls_what_its_token_may(
    world: World, tools: Tools, caller: Caller, mode: str
) -> None:
    """In every revision, with event streams and with JSON."""
    bearer = {"authorization": f"Bearer {caller.token}"}
    url = f"{world.issuer}/mcp"
    async with (
        httpx2.AsyncClient(headers=bearer, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["list_users"]
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["greet"]
        listed = (await client.list_resources()).resources
        assert [str(resource.uri) for resource in listed] == ["notes://public/1"]
        assert (await client.list_resource_templates()).resource_templates == []
        await client.call_tool("list_users", {})
        with pytest.raises((MCPError, httpx2.HTTPError)):
            await client.call_tool("drop_users", {})
    assert tools.ran == ["list_users"]


@one_kind
@pytest.mark.parametrize(
    "connection",
    ["close, mcp-name, mcp-method, mcp-protocol-version", "Mcp-Name", "close,origin", "accept",
     "x-forwarded-user", "Authorization", "content-type", "mcp_name", "mcp-session-id", "cookie"],
)  # fmt: skip
async def test_attack_e01_connection_takes_away_nothing_that_counts(
    world: World, tools: Tools, caller: Caller, connection: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    said = {"mcp_protocol_version": NEW, "mcp_method": "tools/call", "mcp_name": "list_users"}
    answer = await caller.post(call_of("list_users"), connection=connection, **said)
    assert answer.status_code == 400
    assert "Connection names" in caplog.text
    assert tools.ran == []


@one_kind
async def test_attack_e01_headers_do_not_vouch_for_a_tool(tools: Tools, caller: Caller) -> None:
    """The body decides; headers that lie are refused as MCP says, in every revision."""
    for version in (NEW, "2025-11-25", None):
        said = {"mcp_method": "tools/call", "mcp_name": "list_users"}
        if version is not None:
            said["mcp_protocol_version"] = version
        answer = await caller.post(call_of("drop_users", 7), **said)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == -32020
        assert answer.json()["id"] == 7
        bare = {} if version is None else {"mcp_protocol_version": version}
        answer = await caller.post(call_of("drop_users"), **bare)
        assert answer.status_code == (400 if version == NEW else 403)
    truth = {"mcp_protocol_version": NEW, "mcp_method": "tools/call", "mcp_name": "drop_users"}
    assert (await caller.post(call_of("drop_users"), **truth)).status_code == 403
    assert tools.ran == []


HAPROXY = """\
global
    maxconn 64
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend front
    bind 127.0.0.1:{listen}
    default_backend mintage
backend mintage
    server one 127.0.0.1:{mintage}
"""


@one_kind
async def test_attack_e01_a_lying_header_through_haproxy(
    world: World, tools: Tools, caller: Caller, tmp_path: Path
) -> None:
    listen, file = free_port(), tmp_path / "haproxy.cfg"
    file.write_text(HAPROXY.format(listen=listen, mintage=urlsplit(world.issuer).port))
    process = await asyncio.create_subprocess_exec(program("haproxy"), "-f", str(file), "-db")
    try:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", listen)
                break
            except OSError:
                await asyncio.sleep(0.05)
        body = json.dumps(call_of("drop_users")).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: {urlsplit(world.issuer).netloc}\r\n"
            f"Authorization: Bearer {caller.token}\r\nContent-Type: application/json\r\n"
            "Accept: application/json, text/event-stream\r\n"
            "Connection: close, mcp-name, mcp-method, mcp-protocol-version\r\n"
            f"MCP-Protocol-Version: {NEW}\r\nMcp-Method: tools/call\r\nMcp-Name: list_users\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            status = await reader.readline()
        writer.close()
        assert status.split()[1] in (b"400", b"403")
        assert tools.ran == []
    finally:
        process.terminate()
        await process.wait()


@one_kind
async def test_attack_e01_each_message_of_a_batch_must_pass(
    raw: RawBackend, to_raw: Caller
) -> None:
    good = await to_raw.post([call_of("list_users", 1), message("ping", 2)])
    assert good.status_code == 200
    raw.seen.clear()
    bad = await to_raw.post([call_of("list_users", 1), call_of("drop_users", 2)])
    assert bad.status_code == 403
    assert 'scope="tools admin"' in bad.headers["www-authenticate"]
    assert (await to_raw.post([])).status_code == 400
    assert raw.seen == []


@one_kind
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf" + json.dumps(call_of("list_users")).encode(),
        json.dumps(call_of("list_users")).encode("utf-16"),
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","\\u006dethod":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}',
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"},'
            b'"param\xc5\xbf":{"name":"drop_users"}}'
        ),
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","NAME":"drop_users"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["drop_users"]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["drop_users"]}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x\\u0000"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call\\n","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"} {"method":"tools/call"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'"tools/call"',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}' + b" " * 1024 * 1024,
    ],
)
async def test_attack_e01_what_could_be_read_in_two_ways_goes_nowhere(
    raw: RawBackend, to_raw: Caller, body: bytes
) -> None:
    answer = await to_raw.post(body)
    assert answer.status_code in (400, 413)
    assert raw.seen == []


@one_kind
@pytest.mark.parametrize(
    "headers",
    [{"content_type": "text/plain"}, {"content_type": "application/json; charset=utf-16"},
     {"content_encoding": "gzip"}, {"content_type": ""}],
)  # fmt: skip
async def test_attack_e01_a_body_that_the_backend_reads_as_something_else_goes_nowhere(
    raw: RawBackend, to_raw: Caller, headers: dict[str, str]
) -> None:
    assert (await to_raw.post(message("ping"), **headers)).status_code == 400
    assert raw.seen == []


@one_kind
@pytest.mark.parametrize("name", ["DROP_users", " drop_users", "\uff44rop_users"])
async def test_attack_e01_a_name_under_another_spelling_meets_the_rule(
    to_raw: Caller, name: str
) -> None:
    assert (await to_raw.post(call_of(name))).status_code == 403


@one_kind
@pytest.mark.parametrize(
    "uri",
    ["notes://secret/1", "NOTES://secret/1", "notes://x/../secret/1", "notes://%73ecret/1",
     "notes://public/%2e%2e/..//secret/1", "notes://SECRET/1"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "x/anything"])
async def test_attack_e01_a_uri_under_another_spelling_meets_the_rule(
    to_raw: Caller, method: str, uri: str
) -> None:
    assert (await to_raw.post(message(method, uri=uri))).status_code == 403
    assert (await to_raw.post(message(method, uri="notes://public/1"))).status_code == 200


@one_kind
async def test_what_was_judged_is_delivered_byte_for_byte(raw: RawBackend, to_raw: Caller) -> None:
    body = b' {"jsonrpc" : "2.0",\n"id":1, "method":"ping", "params":{"x":"\\u00e9", "y":1.50}}\t'
    assert (await to_raw.post(body)).text == str(len(body))
    assert raw.chunks.get_nowait() == body
    length = dict(raw.seen[0]["headers"])[b"content-length"]
    assert length == str(len(body)).encode()


@one_kind
async def test_a_clients_answer_and_its_notifications_pass(to_raw: Caller) -> None:
    for body in (
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": "a", "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ):
        assert (await to_raw.post(body)).status_code == 200


@one_kind
async def test_nobody_without_a_token_makes_us_read_a_body(world: World, raw: RawBackend) -> None:
    head = "POST /raw/upload HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answer = await raw_answer(world, f"{head}Content-Length: 100\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert raw.seen == []


@one_kind
async def test_other_methods_carry_no_messages(world: World, raw: RawBackend) -> None:
    bearer = {"authorization": f"Bearer {await access_token(world, '/raw')}"}
    body = json.dumps(call_of("drop_users")).encode()
    for method in ("PUT", "PATCH", "DELETE", "GET"):
        url = f"{world.issuer}/raw/echo"
        answer = await world.http.request(method, url, content=body, headers=bearer)
        assert answer.status_code in (400, 413)
        assert raw.seen == []
    assert (await world.http.get(f"{world.issuer}/raw/echo", headers=bearer)).status_code == 200


@one_kind
@pytest.mark.parametrize("name", ["Mcp-Name", "Mcp-Method", "MCP-Protocol-Version"])
async def test_attack_e19_an_mcp_header_given_twice_or_joined_goes_nowhere(
    world: World, tools: Tools, caller: Caller, name: str
) -> None:
    said = {"MCP-Protocol-Version": NEW, "Mcp-Method": "tools/call", "Mcp-Name": "list_users"}
    base = [
        ("authorization", f"Bearer {caller.token}"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ]
    url, body = f"{world.issuer}/mcp", json.dumps(call_of("list_users")).encode()
    for headers in (
        [*base, *said.items(), (name, "drop_users")],
        [*base, *(said | {name: f"{said[name]}, {said[name]}"}).items()],
    ):
        answer = await world.http.post(url, content=body, headers=headers)
        assert answer.status_code == 400
    assert tools.ran == []


@one_kind
@pytest.mark.parametrize("method", ["post", "Post", "pOST", "P0ST", "POST."])
async def test_attack_e06_a_method_in_small_letters_goes_nowhere(
    world: World, raw: RawBackend, tools: Tools, method: str
) -> None:
    token, body = await access_token(world, "/raw"), json.dumps(call_of("drop_users"))
    answer = await raw_answer(
        world,
        f"{method} /raw/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(),
    )
    assert answer.split()[1] in (b"400", b"403")
    assert raw.seen == []
