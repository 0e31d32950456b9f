"""``/verify``: what a proxy asks, in the words of each, and what it is told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from mintage.errors import ConfigError
from mintage.gateway.credentials import IDENTITY_HEADER
from mintage.gateway.forward_auth import ANSWERED, MAX_ANSWER, Asker
from mintage.gateway.headers import identity_headers
from mintage.grants.states import Identity
from mintage.settings.load import parse
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from tests.support.faulty_store import failing
from tests.support.raw_backend import access_token, raw_answer
from tests.support.world import SECRET, World, opened_world

ASKERS: tuple[Asker, ...] = ("nginx", "traefik", "caddy", "haproxy", "envoy")
CLAIMS = ("email", "groups", "preferred_username")
every_asker = pytest.mark.parametrize("asker", ASKERS)


@pytest.fixture
def asker() -> Asker:
    return "nginx"


@pytest.fixture
def trusted() -> list[str]:
    return []


@pytest.fixture
def overrides(asker: Asker | None, trusted: list[str]) -> dict[str, Any]:
    admin = {"methods": ["DELETE"], "path": "/keys", "scopes": ["admin"]}
    tool = {"mcp_methods": ["tools/call"], "mcp_names": ["drop"], "scopes": ["admin"]}
    common = {"scopes": ["tools"], "optional_scopes": ["admin"]}
    return {
        "resource": [
            {"path": "/mcp", "credential": "upstream", "rule": [admin], **common},
            {"path": "/quiet", "credential": "none", "scopes": ["tools"]},
            {
                "path": "/named",
                "credential": "identity",
                "rule": [tool],
                "backend_compares_mcp_headers_with_the_body": True,
                **common,
            },
        ],
        "gateway": {
            "trusted_proxies": trusted,
            "allowed_origins": ["https://app.example"],
            **({} if asker is None else {"forward_auth": asker}),
        },
    }


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def question(asker: Asker, method: str, target: str) -> tuple[str, str, dict[str, str]]:
    """(method, target, headers) of the request that *asker* makes for another one."""
    match asker:
        case "nginx" | "haproxy":
            return "GET", "/verify", {"x-original-method": method, "x-original-uri": target}
        case "traefik" | "caddy":
            return "GET", "/verify", {"x-forwarded-method": method, "x-forwarded-uri": target}
        case "envoy":
            return method, f"/verify{target}", {"content-length": "0"}


async def ask(
    world: World, token: str | None, target: str = "/mcp", *, method: str = "POST",
    asker: Asker = "nginx", **headers: str,
) -> Answer:  # fmt: skip
    """The answer, byte by byte as it came: HTTP clients would mend the path."""
    verb, path, described = question(asker, method, target)
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | described
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    head = f"{verb} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"
    return parsed(await raw_answer(world, head.encode("latin-1")))


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.decode("latin-1").partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(status.split(" ")[1]), headers, body)


@every_asker
@pytest.mark.parametrize("target", ["/mcp", "/mcp/", "/mcp/a/b?c=d&e=/../f", "/mcp/%7ea%c3%bc"])
async def test_a_request_with_a_good_token_passes(world: World, asker: Asker, target: str) -> None:
    token = await access_token(world)
    answer = await ask(world, token, target, asker=asker)
    assert (answer.status, answer.body) == (200, "")
    assert answer.headers["authorization"] == "bearer upstream"
    assert answer.headers["x-forwarded-user"] == "alice"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("path", "told"), [("/quiet", set()), ("/named", {"x-forwarded-user"})])
async def test_a_backend_is_told_what_its_resource_says(
    world: World, path: str, told: set[str]
) -> None:
    answer = await ask(world, await access_token(world, path), path, method="GET")
    assert answer.status == 200
    assert {name for name in ANSWERED if answer.headers.get(name)} == told


@pytest.mark.parametrize("asker", [asker for asker in ASKERS if asker != "nginx"])
@pytest.mark.parametrize("path", ["/quiet", "/named", "/mcp"])
async def test_attack_e04_an_answer_holds_each_header_that_a_proxy_copies(
    world: World, asker: Asker, path: str
) -> None:
    """Empty where there is nothing to say: a header that is left out stays the client's own."""
    token, now = await access_token(world, path), {"mcp_protocol_version": "2026-07-28"}
    answer = await ask(world, token, path, asker=asker, mcp_method="ping", **now)
    assert set(ANSWERED) <= answer.headers.keys()
    told = identity_headers(Identity(issuer="i", subject="s", claims=dict.fromkeys(CLAIMS, "a")))
    assert {*told, IDENTITY_HEADER, "authorization"} <= set(ANSWERED)


@every_asker
@pytest.mark.parametrize("name", ["mcp-name", "mcp-method", "mcp-protocol-version"])
async def test_attack_e19_a_value_that_a_proxy_joined_of_two_does_not_pass(
    world: World, asker: Asker, name: str
) -> None:
    """The backend gets both lines, and takes one of them."""
    now = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "list"}
    key = name.replace("-", "_")
    token = await access_token(world, "/named")
    for joined in (f"{now[key]}, x", f"x,{now[key]}", f"{now[key]},"):
        answer = await ask(world, token, "/named", asker=asker, **(now | {key: joined}))
        assert answer.status == 403
    assert (await ask(world, token, "/named", asker=asker, **now)).status == 200


@every_asker
async def test_a_comma_in_a_name_passes_where_no_rule_asks_for_it(
    world: World, asker: Asker
) -> None:
    """URIs may hold one."""
    now = {"mcp_protocol_version": "2026-07-28", "mcp_method": "resources/read"}
    token = await access_token(world, "/quiet")
    answer = await ask(world, token, "/quiet", asker=asker, mcp_name="file:///a,b", **now)
    assert answer.status == 200


@pytest.mark.parametrize(("size", "status"), [(MAX_ANSWER - 200, 200), (MAX_ANSWER + 1, 403)])
async def test_an_answer_that_no_proxy_holds_is_no_outage(
    world: World, caplog: pytest.LogCaptureFixture, size: int, status: int
) -> None:
    """The client must not try again for ever, and the operator reads what is too large."""
    caplog.set_level("INFO")
    token = await access_token(world, upstream="u" * size)
    answer = await ask(world, token)
    assert answer.status == status
    assert f"{world.resource} has " in caplog.text
    caplog.clear()
    await ask(world, token)
    assert ("must have room for it" in caplog.text) is False


@every_asker
async def test_without_a_token_the_client_hears_where_to_log_in(world: World, asker: Asker) -> None:
    answer = await ask(world, None, "/mcp/x", asker=asker)
    assert answer.status == 401
    metadata = f"{world.issuer}/.well-known/oauth-protected-resource/mcp"
    assert answer.headers["www-authenticate"] == (
        f'bearer scope="tools", resource_metadata="{metadata}", '
        'dpop algs="es256 eddsa ed25519 rs256 ps256"'
    )
    slash = await ask(world, None, "/mcp/", asker=asker)
    assert f'resource_metadata="{metadata}/"' in slash.headers["www-authenticate"]


@every_asker
async def test_too_few_scopes_are_403_and_name_those_that_it_takes(
    world: World, asker: Asker
) -> None:
    token = await access_token(world)
    answer = await ask(world, token, "/mcp/keys/7?x", method="DELETE", asker=asker)
    assert answer.status == 403
    assert 'scope="tools admin"' in answer.headers["www-authenticate"]
    assert (await ask(world, token, "/mcp/keys/7", method="GET", asker=asker)).status == 200


@every_asker
async def test_a_rule_for_a_tool_looks_at_the_clients_headers(world: World, asker: Asker) -> None:
    token = await access_token(world, "/named")
    now = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "asker": asker}
    said = [
        await ask(world, token, "/named", **headers)
        for headers in (now | {"mcp_name": "list"}, now | {"mcp_name": "drop"}, {"asker": asker})
    ]
    assert [answer.status for answer in said] == [200, 403, 403]
    assert "insufficient_scope" in said[1].headers["www-authenticate"]
    assert "invalid_request" in said[2].headers["www-authenticate"]


@every_asker
async def test_a_page_of_an_origin_that_is_not_allowed_does_not_pass(
    world: World, asker: Asker
) -> None:
    token = await access_token(world)
    good = await ask(world, token, asker=asker, origin="https://app.example")
    bad = await ask(world, token, asker=asker, origin="https://evil.example")
    assert (good.status, bad.status) == (200, 403)


@every_asker
async def test_attack_a09_a_token_of_a_sibling_does_not_pass(world: World, asker: Asker) -> None:
    answer = await ask(world, await access_token(world, "/named"), "/mcp", asker=asker)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert "upstream" not in str(answer)


async def test_a_token_that_was_revoked_does_not_pass(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    assert (await ask(world, token)).status == 200
    await client.revoke(token)
    assert (await ask(world, token)).status == 401


ENCODED = ("/%6dcp/x", "/mcp/%61dmin", "/mcp/%2ehidden", "/mcp/%30", "/mcp/%5A")


@every_asker
@pytest.mark.parametrize("path", ENCODED)
async def test_attack_e02_a_path_that_a_backend_could_leave_encoded_does_not_pass(
    world: World, asker: Asker, path: str
) -> None:
    """The proxy delivers it as it came."""
    assert (await ask(world, await access_token(world), path, asker=asker)).status == 403


DECEPTIVE = (
    "//mcp", "/mcp//x", "/mcp/./x", "/mcp/../mcp", "/x/../mcp", "/mcp/..%2fmcp", "/mcp/%2e%2e/mcp",
    "/%2e/mcp", "/mcp%2fx", "/mcp%5cx", "/mcp\\x", "/mcp/%00", "/mcp/%0a", "/mcp/%252e%252e/mcp",
    "/mcp/..;/mcp", "/mcp;x", "/mcpx", "/MCP", "/", "/verify", "/token", "/%256dcp", "/mcp%",
    "/mcp%6",
)  # fmt: skip
NOT_IN_HTTP = ("", "mcp", "*", "http://evil.example/mcp", "/mcp#x", "/mcp/\xfc")


@every_asker
async def test_attack_d09_what_two_servers_could_read_differently_does_not_pass(
    world: World, asker: Asker
) -> None:
    """403 and not 400 or 404, which nginx takes for a failure of ours."""
    token = await access_token(world)
    targets = DECEPTIVE if asker == "envoy" else DECEPTIVE + NOT_IN_HTTP
    for target in targets:
        answer = await ask(world, token, target, asker=asker)
        assert (target, answer.status) == (target, 403)
        assert "upstream" not in str(answer)


@pytest.mark.parametrize("asker", ["nginx", "traefik", "caddy"])
@pytest.mark.parametrize("change", ["method missing", "target missing", "method twice", "twice"])
async def test_attack_d08_a_question_that_two_could_have_asked_is_a_fault_of_ours(
    world: World, asker: Asker, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the proxy does not set its headers the client could: 500, so that somebody looks."""
    _, path, described = question(asker, "GET", "/mcp")
    method, target = described.items()
    kept = {
        "method missing": [target],
        "target missing": [method],
        "method twice": [method, method, target],
        "twice": [method, target, (target[0], "/quiet")],
    }[change]
    lines = [*kept, ("authorization", f"Bearer {await access_token(world)}")]
    answer = await world.http.get(world.issuer + path, headers=lines)
    assert answer.status_code == 500
    assert "authorization" not in answer.headers
    [line] = [each for each in caplog.records if "the proxy must send" in each.getMessage()]
    assert line.levelname == "WARNING"


@every_asker
async def test_attack_d08_the_words_of_another_kind_of_proxy_do_not_count(
    world: World, asker: Asker
) -> None:
    """A client may send them through this one, which does not know them."""
    theirs: dict[str, str] = {}
    for other in ASKERS:
        theirs |= question(other, "GET", "/quiet")[2]
    ours = question(asker, "POST", "/mcp")[2]
    smuggled = {name.replace("-", "_"): v for name, v in theirs.items() if name not in ours}
    token = await access_token(world, "/quiet")
    assert (await ask(world, token, "/mcp", asker=asker, **smuggled)).status == 401


@every_asker
async def test_attack_d08_what_a_proxy_passes_on_unasked_is_no_question(
    world: World, asker: Asker
) -> None:
    """A preflight, wherever it is for; and nothing but GET, where the proxy asks with that."""
    token = await access_token(world)
    _, path, described = question(asker, "GET", "/mcp")
    sent = described | {"authorization": f"Bearer {token}"}
    preflight = {"origin": "http://localhost", "access-control-request-method": "GET"}
    first = await world.http.options(world.issuer + path, headers=sent | preflight)
    assert first.status_code == 204
    others = [] if asker == "envoy" else [await world.http.post(world.issuer + path, headers=sent)]
    assert [answer.status_code for answer in others] == [500] * len(others)
    assert "upstream" not in str([answer.headers for answer in (first, *others)])


@every_asker
async def test_attack_d04_no_header_changes_an_address(world: World, asker: Asker) -> None:
    evil = {"x_forwarded_host": "evil.example", "x_forwarded_proto": "ftp", "host": "evil.example",
            "forwarded": "host=evil.example", "x_original_host": "evil.example"}  # fmt: skip
    answer = await ask(world, None, asker=asker, **evil)
    assert "evil" not in str(answer)
    assert f'resource_metadata="{world.issuer}/' in answer.headers["www-authenticate"]


@dataclass
class Asked:
    """The application as a server calls it, for a peer that no test could be."""

    world: World
    messages: list[Message] = field(default_factory=list)

    async def by(self, peer: str | None, token: str) -> int:
        transport = httpx2.ASGITransport(app=self.world.app, client=(peer or "", 4711))
        if peer is None:
            return await self._by_socket(token)
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as http:
            sent = question("nginx", "GET", "/mcp")[2] | {"authorization": f"Bearer {token}"}
            return (await http.get(f"{self.world.issuer}/verify", headers=sent)).status_code

    async def _by_socket(self, token: str) -> int:
        described = question("nginx", "GET", "/mcp")[2].items()
        headers = [(name.encode(), value.encode()) for name, value in described]
        headers.append((b"authorization", f"Bearer {token}".encode()))
        scope = {
            "type": "http", "method": "GET", "path": "/verify", "raw_path": b"/verify",
            "query_string": b"", "headers": headers, "client": None, "scheme": "http",
        }  # fmt: skip

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            self.messages.append(message)

        await self.world.app(scope, receive, send)
        return int(self.messages[0]["status"])


@pytest.mark.parametrize("trusted", [["192.0.2.0/24"]])
@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200), ("::1", 200), (None, 200), ("192.0.2.1", 200),
        ("192.0.3.1", 403), ("10.0.0.1", 403), ("2001:db8::1", 403),
    ],
)  # fmt: skip
async def test_attack_d08_a_stranger_may_not_ask(
    world: World, peer: str | None, status: int
) -> None:
    assert await Asked(world).by(peer, await access_token(world)) == status


@pytest.mark.parametrize("asker", [None])
async def test_nobody_may_ask_unless_a_kind_of_proxy_is_set(world: World) -> None:
    answer = await ask(world, await access_token(world))
    assert answer.status == 404


@pytest.mark.parametrize("asker", ["nginx"])
async def test_a_path_below_is_a_question_of_envoys_alone(world: World) -> None:
    answer = await ask(world, await access_token(world), asker="envoy")
    assert answer.status == 404


@every_asker
async def test_attack_d11_an_outage_of_the_store_is_no_refusal(world: World, asker: Asker) -> None:
    token = await access_token(world)
    with failing(world.running.store):
        world.clock.advance(60)  # past what is remembered
        answer = await ask(world, token, asker=asker)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "www-authenticate" not in answer.headers
    world.clock.advance(60)
    assert (await ask(world, token, asker=asker)).status == 200


async def test_the_log_names_the_request_that_was_asked_about(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chain = "127.0.0.9, 203.0.113.9"
    answer = await ask(world, None, "/mcp/x?token=s", method="DELETE", x_forwarded_for=chain)
    reference = answer.headers["x-request-id"]
    assert f"{reference} DELETE /mcp/x from 203.0.113.9: 401" in caplog.text
    assert "token=s" not in caplog.text


@pytest.mark.parametrize("asker", ["nginx", "envoy"])
async def test_below_an_issuer_with_a_path_all_of_it_is_below(
    clock: ManualClock, upstream: FakeUpstream, overrides: dict[str, Any], asker: Asker,
    tmp_path: Path,
) -> None:  # fmt: skip
    settings = overrides | {"issuer": "http://127.0.0.1:9/auth"}
    async with opened_world(clock, upstream, tmp_path, settings, {}) as world:
        token = await access_token(world)
        _, path, described = question(asker, "GET", "/auth/mcp/x")
        sent = described | {"authorization": f"Bearer {token}"}
        inside = await world.http.get(f"http://127.0.0.1:{world.port}/auth{path}", headers=sent)
        outside = await world.http.get(f"http://127.0.0.1:{world.port}{path}", headers=sent)
        assert (inside.status_code, outside.status_code) == (200, 404)


@every_asker
@pytest.mark.parametrize("method", ["delete", "Delete", "DELETE ", "D\u00c9LETE", ""])
async def test_attack_e06_a_method_in_small_letters_does_not_pass(
    world: World, asker: Asker, method: str
) -> None:
    """The backend may raise its letters, and then a rule would have been for it."""
    if asker == "envoy" and not (method.isascii() and method.isalpha()):
        pytest.skip("no request begins like this")
    token = await access_token(world)
    answer = await ask(world, token, "/mcp/keys/7", method=method.strip(" "), asker=asker)
    assert answer.status in ({400, 403} if asker == "envoy" else {403})


@every_asker
async def test_attack_e01_a_websocket_does_not_pass_where_messages_are_judged(
    world: World, asker: Asker
) -> None:
    """The messages in it would be judged by nobody. Proxies leave its key in their question."""
    token = await access_token(world, "/named")
    passes = await ask(world, token, "/mcp", sec_websocket_key="a2V5", method="GET", asker=asker)
    refused = await ask(world, token, "/named", sec_websocket_key="a2V5", method="GET", asker=asker)
    assert (passes.status, refused.status) == (401, 403)


@every_asker
@pytest.mark.parametrize("method", ["TRACE", "TRACK"])
async def test_attack_e04_a_backend_is_not_asked_to_show_what_it_was_sent(
    world: World, asker: Asker, method: str
) -> None:
    token = await access_token(world)
    answer = await ask(world, token, "/mcp", method=method, asker=asker)
    assert answer.status in ({400, 403} if asker == "envoy" else {403})  # no parser knows TRACK


class TestBodies:
    """Rules about MCP, decided by the body where the proxy sends it."""

    @pytest.fixture
    def asker(self) -> Asker:
        return "envoy"

    @pytest.fixture
    def overrides(self, asker: Asker) -> dict[str, Any]:
        tool = {"mcp_methods": ["tools/call"], "mcp_names": ["drop"], "scopes": ["admin"]}
        common = {"scopes": ["tools"], "optional_scopes": ["admin"]}
        return {
            "resource": [{"path": "/named", "rule": [tool], **common}],
            "gateway": {"forward_auth": asker},
        }

    @pytest.mark.parametrize(
        ("name", "partial", "status"),
        [
            ("list", "false", 200),
            ("drop", "false", 403),
            ("list", "true", 403),
            ("list", None, 403),
        ],
    )
    async def test_envoy_sends_the_body_or_nobody_passes(
        self, world: World, name: str, partial: str | None, status: int
    ) -> None:
        params = {"name": name}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"authorization": f"Bearer {await access_token(world, '/named')}"}
        headers |= {} if partial is None else {"x-envoy-auth-partial-body": partial}
        said = {"mcp-method": "tools/call", "mcp-name": "list"} if partial is None else {}
        url = f"{world.issuer}/verify/named"
        answer = await world.http.post(url, json=body, headers=headers | said)
        assert answer.status_code == status

    @pytest.mark.parametrize("other", ["nginx", "traefik", "caddy", "haproxy"])
    def test_a_proxy_that_keeps_the_body_is_refused_at_the_start(
        self, overrides: dict[str, Any], other: str
    ) -> None:
        data = {
            "issuer": "https://auth.example",
            "store": "memory://",
            "secret": "env:SECRET",
            "upstream": {"issuer": "https://idp.example", "client_id": "x"},
            "resource": overrides["resource"],
            "gateway": {"forward_auth": other},
        }
        with pytest.raises(ConfigError, match=r"resource\[0\].rule: asks for MCP"):
            parse(data, base=Path(), environ={"SECRET": SECRET})
        overrides["resource"][0]["filter_lists"] = True
        with pytest.raises(ConfigError, match="filter_lists"):
            parse(data, base=Path(), environ={"SECRET": SECRET})
