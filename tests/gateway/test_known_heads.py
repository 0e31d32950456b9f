"""A client sends the same head again: what was found once is good for that very head alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from mintage.events.requests import RequestRefused
from mintage.gateway.heads import Head, Known, KnownHeads, head_of, head_of_served
from mintage.resource.bearer import Bearer
from mintage.settings.load import parse
from mintage.web.repeated_heads import REPEATED, Repeated
from tests.support.raw_backend import RawBackend, access_token, token_for
from tests.support.world import SECRET, World, settings

HERE = "192.0.2.1"


@pytest.fixture
def overrides(raw: RawBackend) -> dict[str, Any]:
    backend = f"http://127.0.0.1:{raw.port}"
    rules = [
        {"methods": ["DELETE"], "path": "/keys", "scopes": ["admin"]},
        {"path": "/staff", "claims": {"email": "*@nowhere.example"}},
    ]
    return {
        "resource": [
            {
                "path": "/mcp",
                "backend": backend,
                "scopes": ["tools"],
                "optional_scopes": ["admin"],
                "credential": "identity",
                "rule": rules,
            },
            {"path": "/other", "backend": backend, "scopes": ["tools"]},
        ],
        "gateway": {
            "allowed_origins": ["https://app.example"],
            "trusted_proxies": ["10.0.0.0/8"],
        },
        "limits": {"requests_per_user": 20},
    }


class Answer:
    """What a client gets, and what the backend saw of its request, if it saw anything."""

    def __init__(self, messages: list[Message]) -> None:
        start, *rest = messages
        self.status = start["status"]
        self.headers = dict(start["headers"])
        self.body = b"".join(message.get("body", b"") for message in rest)

    @property
    def seen(self) -> dict[str, str]:
        return dict(json.loads(self.body)["headers"])

    @property
    def path(self) -> str:
        shown = json.loads(self.body)
        return str(shown["path"] + ("?" if shown["query"] else "") + shown["query"])


async def ask(
    world: World,
    token: str | None,
    *more: tuple[str, str],
    method: str = "GET",
    target: str = "/mcp/x",
    peer: str = HERE,
    body: bytes = b"",
    repeated: Repeated | None = None,
) -> Answer:
    path, _, query = target.partition("?")
    bearer = [] if token is None else [("authorization", f"Bearer {token}")]
    sent = [("host", "a"), *bearer, *more]
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "scheme": "http", "client": (peer, 1),
        "headers": [(name.encode(), value.encode()) for name, value in sent],
        REPEATED: repeated,
    }  # fmt: skip
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        messages.append(message)

    await world.app(scope, receive, send)
    return Answer(messages)


async def known(world: World) -> str:
    """A token whose request for /mcp/x is known."""
    token = await access_token(world)
    for _ in range(2):
        assert (await ask(world, token)).status == 200
    assert len(world.running.router.known) == 1
    return token


async def test_a_head_that_comes_again_is_not_judged_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await known(world)
    monkeypatch.setattr("mintage.gateway.access_guard._check_head", None)
    monkeypatch.setattr("mintage.gateway.gateway.of_the_client", None)
    answers = [await ask(world, token) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].seen | {"x-request-id": ""} == answers[1].seen | {"x-request-id": ""}


REFUSED = {
    "a page": [("origin", "https://evil.example")],
    "a second page": [("origin", "https://app.example"), ("origin", "https://evil.example")],
    "Connection": [("connection", "x-forwarded-user")],
    "two framings": [("content-length", "1"), ("transfer-encoding", "chunked")],
    "two lengths": [("content-length", "1"), ("content-length", "1")],
    "a length that is none": [("content-length", "+1")],
    "an MCP header twice": [("mcp-session-id", "a"), ("mcp-session-id", "b")],
    "a second token": [("authorization", "Bearer other")],
}


@pytest.mark.parametrize("more", REFUSED.values(), ids=REFUSED)
async def test_attack_e13_a_header_more_is_judged(
    world: World, more: list[tuple[str, str]]
) -> None:
    token = await known(world)
    for _ in range(2):
        assert (await ask(world, token, *more)).status in (400, 403)
    assert (await ask(world, token)).status == 200


async def test_attack_e13_another_method_path_or_query_is_judged(world: World) -> None:
    token = await access_token(world)
    for _ in range(2):
        assert (await ask(world, token, target="/mcp/keys")).status == 200
    assert (await ask(world, token, target="/mcp/keys", method="DELETE")).status == 403
    assert (await ask(world, token, target="/mcp/%6beys", method="DELETE")).status == 403
    assert (await ask(world, token, target="/mcp/keys", method="TRACE")).status == 405
    assert (await ask(world, token, target="/mcp/staff")).status == 403
    assert (await ask(world, token, target="/other")).status == 401
    assert (await ask(world, token, target="/mcp/keys?a=b")).path == "/keys?a=b"
    assert (await ask(world, token, target="/mcp/keys")).path == "/keys"


async def test_attack_e13_another_token_is_judged(world: World) -> None:
    token = await known(world)
    assert (await ask(world, None)).status == 401
    assert (await ask(world, token[:-2])).status == 401
    other = await token_for(
        world.running, world.issuer + "/mcp", now=int(world.clock()), subject="bob"
    )
    assert (await ask(world, other)).seen["x-forwarded-user"] == "bob"
    assert (await ask(world, token)).seen["x-forwarded-user"] == "alice"
    elsewhere = await access_token(world, "/other")
    assert (await ask(world, elsewhere)).status == 401


async def test_attack_e13_each_peer_and_each_told_address_is_its_own(world: World) -> None:
    token = await known(world)
    told = ("x-forwarded-for", "203.0.113.9")
    for peer, more, heard in [
        (HERE, [told], HERE),
        ("192.0.2.2", [], "192.0.2.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [told], "203.0.113.9"),
        ("10.0.0.1", [("x-forwarded-for", "203.0.113.8")], "203.0.113.8"),
        (HERE, [], HERE),
    ]:
        for _ in range(2):
            seen = (await ask(world, token, *more, peer=peer)).seen
            assert seen["x-forwarded-for"] == heard


async def test_what_differs_each_time_is_passed_on_as_it_came(world: World) -> None:
    token = await access_token(world)
    trace = "00-0af7651916cd43dd8448eb211c80319%x-b7ad6b7169203331-01"
    for number in range(4):
        body = b"x" * (number + 1)
        varying = [("content-length", str(len(body))), ("traceparent", trace % number)]
        seen = (await ask(world, token, *varying, method="PUT", body=body)).seen
        assert seen["content-length"] == str(len(body))
        assert seen["traceparent"] == trace % number
    assert len(world.running.router.known) == 1
    assert "traceparent" not in (await ask(world, token, method="PUT")).seen
    assert len(world.running.router.known) == 2


async def test_attack_d08_a_body_is_as_long_as_its_own_length_says(world: World) -> None:
    token = await access_token(world)
    for _ in range(2):
        answer = await ask(world, token, ("content-length", "2"), method="PUT", body=b"ab")
        assert answer.status == 200
    for body in (b"a", b"abc"):
        answer = await ask(world, token, ("content-length", "2"), method="PUT", body=body)
        assert answer.status == 400
    seen = (await ask(world, token, method="PUT", body=b"smuggled")).seen
    assert "content-length" not in seen
    assert "transfer-encoding" not in seen


async def test_attack_d04_the_reference_is_of_each_request_alone(world: World) -> None:
    token = await known(world)
    mine = [("x-request-id", "mine")]
    asked: list[tuple[str, list[tuple[str, str]]]] = [
        (HERE, []), (HERE, mine), ("10.0.0.1", mine), ("10.0.0.1", []), ("10.0.0.1", mine * 2)
    ]  # fmt: skip
    references = []
    for peer, more in asked:
        answer = await ask(world, token, *more, peer=peer)
        assert answer.headers[b"x-request-id"].decode() == answer.seen["x-request-id"]
        references.append(answer.seen["x-request-id"])
    assert references[2] == "mine"
    assert references.count("mine") == 1
    assert len(set(references)) == len(asked)


async def test_the_reference_of_a_trusted_proxy_counts_each_time(world: World) -> None:
    token = await access_token(world)
    told = ("x-forwarded-for", "203.0.113.9")
    for reference in ("one", "two", "three"):
        answer = await ask(world, token, told, ("x-request-id", reference), peer="10.0.0.1")
        assert answer.headers[b"x-request-id"].decode() == reference
        assert answer.seen["x-request-id"] == reference
        assert answer.seen["x-forwarded-for"] == "203.0.113.9"


async def test_attack_e13_a_known_head_is_of_a_live_grant(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]
    for _ in range(2):
        assert (await ask(world, token)).status == 200
    await client.revoke(token)
    assert (await ask(world, token)).status == 401


async def test_attack_e13_a_known_head_is_of_a_token_that_has_not_ended(world: World) -> None:
    token = await known(world)
    world.clock.advance(2 * 3600)
    assert (await ask(world, token)).status == 401


async def test_attack_d24_a_known_head_is_counted(world: World) -> None:
    token = await known(world)
    statuses = [(await ask(world, token)).status for _ in range(20)]
    assert statuses == [200] * 18 + [429] * 2


async def test_attack_e13_other_settings_judge_anew(world: World, raw: RawBackend) -> None:
    token = await access_token(world)
    page = ("origin", "https://app.example")
    for _ in range(2):
        assert (await ask(world, token, page)).status == 200
    data = settings(world.issuer, world.upstream, "http://127.0.0.1:9")
    resource = {
        "path": "/mcp",
        "backend": f"http://127.0.0.1:{raw.port}",
        "scopes": ["tools"],
        "credential": "none",
    }
    config = parse(
        data
        | {
            "resource": [resource],
            "store": world.config.store,
            "gateway": {"drop_headers": ["x-kind"]},
        },
        base=Path(),
        environ={"SECRET": SECRET, "UPSTREAM_SECRET": world.upstream.client_secret},
    )
    await world.app.reload(config)
    assert (await ask(world, token, page)).status == 403
    seen = (await ask(world, token, ("x-kind", "a"))).seen
    assert "x-kind" not in seen
    assert "x-forwarded-user" not in seen


async def test_a_refused_head_is_not_kept(world: World) -> None:
    token = await access_token(world)
    for path in ("/mcp/staff", "/other", "/nowhere", "/token"):
        assert (await ask(world, token, target=path)).status >= 400
    assert (await ask(world, None)).status == 401
    assert not world.running.router.known


async def test_attack_f01_a_token_that_is_bound_to_a_key_needs_its_proof_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await access_token(world)
    for _ in range(2):
        assert (await ask(world, token, ("dpop", "a.b.c"))).status == 200
    assert not world.running.router.known
    asked = []
    check = Bearer.check

    async def noted(self: Bearer, *given: Any) -> Any:
        asked.append(given)
        return await check(self, *given)

    monkeypatch.setattr(Bearer, "check", noted)
    for number in range(2):
        answer = await ask(world, None, ("authorization", f"DPoP {token}"))
        assert (answer.status, len(asked)) == (401, number + 1)


def _scope(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {
        "type": "http", "method": "GET", "path": "/mcp", "raw_path": b"/mcp",
        "query_string": b"", "client": (HERE, 1), "headers": list(headers),
    } | more  # fmt: skip


HOST = (b"host", b"a")
OTHERS = {
    "method": _scope(HOST, method="HEAD"),
    "path": _scope(HOST, path="/mcp/x"),
    "raw path": _scope(HOST, raw_path=b"/%6dcp"),
    "query": _scope(HOST, query_string=b"a"),
    "peer": _scope(HOST, client=("192.0.2.2", 1)),
    "no peer": _scope(HOST, client=None),
    "a value": _scope((b"host", b"b")),
    "a name": _scope((b"hos", b"ta")),
    "no header": _scope(),
    "a header twice": _scope(HOST, HOST),
    "a length": _scope(HOST, (b"content-length", b"1")),
    "a length that is none": _scope(HOST, (b"content-length", b"one")),
    "two lengths": _scope(HOST, (b"content-length", b"1"), (b"content-length", b"1")),
    "a trace": _scope(HOST, (b"traceparent", b"1")),
    "a long trace": _scope(HOST, (b"traceparent", b"1" * 300)),
    "two traces": _scope(HOST, (b"traceparent", b"1"), (b"traceparent", b"1")),
    "another order": _scope((b"accept", b"a"), HOST),
    "that order": _scope(HOST, (b"accept", b"a")),
}


def test_attack_e13_each_part_of_a_head_is_in_its_key() -> None:
    keys = [head_of(scope).key for scope in (_scope(HOST), *OTHERS.values())]
    assert len(set(keys)) == len(keys)


def test_what_differs_each_time_is_not_in_the_key() -> None:
    def head(length: bytes, trace: bytes, *more: tuple[bytes, bytes], port: int = 1) -> Head:
        varying = [(b"content-length", length), (b"traceparent", trace)]
        return head_of(_scope(HOST, *varying, *more, client=(HERE, port)))

    one, other = head(b"1", b"a"), head(b"22", b"b", (b"x-request-id", b"c"), port=2)
    assert one.key == other.key
    assert other.same == [HOST]
    assert other.varying == {b"content-length": b"22", b"traceparent": b"b"}
    assert (one.given, other.given) == (None, b"c")
    assert head_of(_scope(HOST)).varying == {}


@pytest.mark.parametrize("extra", [[], [(b"x" * 2000, b"y")]], ids=["usual", "long names"])
def test_attack_d04_no_reference_is_passed_on_with_the_head(
    extra: list[tuple[bytes, bytes]],
) -> None:
    """Wherever it is, and given as often as one likes. What is there twice is no trace either."""
    reference, trace = (b"x-request-id", b"a"), (b"traceparent", b"b")
    head = head_of(_scope(reference, HOST, *extra, trace, reference, trace))
    assert (head.same, head.given) == ([HOST, *extra, trace, trace], None)
    assert head.varying == {}
    head = head_of(_scope(reference, *extra, trace, HOST, (b"content-length", b"2")))
    assert (head.same, head.given) == ([*extra, HOST], b"a")
    assert head.varying == {b"traceparent": b"b", b"content-length": b"2"}
    head = head_of(_scope(HOST, *extra, (b"x-request-id", b"a" * 300)))
    assert (head.same, head.given) == ([HOST, *extra], None)


LENGTHS = [(b"content-length", b"1"), (b"content-length", b"22")]


@pytest.mark.parametrize("length_at", [None, 1])
def test_attack_e13_what_is_kept_of_a_head_is_of_its_client_and_without_the_length(
    length_at: int | None,
) -> None:
    repeated = Repeated(length_at)
    lengths = [[]] if length_at is None else [[length] for length in LENGTHS]
    for _ in range(2):
        for client in ((HERE, 1), (HERE, 2), ("192.0.2.2", 1), None):
            for length in lengths:
                scope = _scope(HOST, *length, client=client)
                assert head_of_served(scope | {REPEATED: repeated}) == head_of(scope)


def test_what_is_kept_of_a_head_is_read_once() -> None:
    scope = _scope(HOST, LENGTHS[0]) | {REPEATED: Repeated(1)}
    assert head_of_served(scope).key is head_of_served(scope).key


FORM = ("content-type", "application/x-www-form-urlencoded")


async def test_attack_e13_what_is_found_about_the_head_of_an_endpoint_is_of_its_peer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the peers is a trusted proxy: only of that one the forwarded address counts."""
    events: list[Any] = []
    world.running.events.attach(events.append)
    repeated, forwarded = Repeated(None), ("x-forwarded-for", "203.0.113.9")
    for turn in range(2):
        for peer in (HERE, "10.0.0.7", "192.0.2.2"):
            answer = await ask(
                world, None, FORM, forwarded, method="POST", target="/token", peer=peer,
                body=b"grant_type=none", repeated=repeated,
            )  # fmt: skip
            assert answer.status == 400
            assert answer.headers[b"access-control-allow-origin"] == b"*"
        if turn == 0:
            monkeypatch.setattr("mintage.app.router.check_size", None)  # it is found once
    addresses = [event.origin.address for event in events]
    assert addresses == [HERE, "203.0.113.9", "192.0.2.2"] * 2
    assert {event.endpoint for event in events if isinstance(event, RequestRefused)} == {"token"}


async def test_nothing_is_kept_of_the_head_of_an_endpoint_that_is_refused(world: World) -> None:
    repeated, long = Repeated(None), ("x-long", "a" * 70_000)
    for _ in range(2):
        answer = await ask(
            world, None, FORM, long, method="POST", target="/token", repeated=repeated
        )
        assert answer.status == 431


def test_headers_in_lists_are_keys_too() -> None:
    assert head_of(_scope(HOST, headers=[["host", "a"]])).key is not None


async def _answer(*_: Any) -> None:
    raise AssertionError("nobody is answered here")


def _kept(*scopes: dict[str, Any]) -> KnownHeads:
    heads = KnownHeads()
    for scope in scopes:
        heads.keep(head_of(scope), Known(_answer, None, "resource", None, None))
    return heads


def test_attack_e13_a_head_with_a_proof_is_not_kept() -> None:
    assert not _kept(_scope(HOST, (b"dpop", b"a.b.c")))


def test_what_is_long_is_not_kept() -> None:
    assert not _kept(_scope((b"host", b"a" * 5000)))
    assert not _kept(_scope(query_string=b"a" * 5000))
    assert not _kept(_scope(*[HOST] * 101))
    assert len(_kept(_scope(HOST), _scope(HOST))) == 1


def test_heads_are_kept_in_bounded_memory() -> None:
    assert len(_kept(*(_scope((b"host", b"%d" % number)) for number in range(3000)))) == 1000
