"""One reading of the JSON-RPC messages in a body."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import InvalidRequest
from mintage.gateway.json_reading import UnreadableJson, read_json, write_json
from mintage.gateway.mcp_headers import HeaderMismatch, check_agreement
from mintage.gateway.mcp_messages import MAX_MESSAGES, Asked, read_messages

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_json_is_read_as_it_was_meant(value: Any, plain: bool) -> None:  # noqa: FBT001
    assert read_json(json.dumps(value, ensure_ascii=plain, indent=1).encode()) == value
    assert read_json(write_json(value)) == value


@given(st.binary(max_size=64))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    try:
        messages = read_messages(body)
    except InvalidRequest:
        return
    assert messages


def spelled(name: str, data: st.DataObject) -> str:
    """*name* as JSON, each letter as it is or as an escape."""
    written = (f"\\u{ord(letter):04x}" if data.draw(st.booleans()) else letter for letter in name)
    return f'"{"".join(written)}"'


@given(st.data(), st.sampled_from(["method", "params", "jsonrpc", "id"]))
def test_attack_e01_a_name_twice_is_refused_however_it_is_spelled(
    data: st.DataObject, name: str
) -> None:
    members = {"jsonrpc": '"2.0"', "id": "1", "method": '"ping"', "params": "{}"}
    pairs = [f"{spelled(each, data)}:{value}" for each, value in members.items()]
    assert read_messages(f"{{{','.join(pairs)}}}".encode())
    again = f"{spelled(name, data)}:{members[name]}"
    pairs.insert(data.draw(st.integers(0, len(pairs))), again)
    with pytest.raises(InvalidRequest):
        read_messages(f"{{{','.join(pairs)}}}".encode())


CASES = {"s": "sS\u017f", "k": "kK\u212a"}


@given(st.data(), st.sampled_from(["method", "params", "result", "name", "uri", "ref", "taskId"]))
def test_attack_e01_a_name_that_go_would_take_for_another_is_refused(
    data: st.DataObject, name: str
) -> None:
    letters = [
        data.draw(st.sampled_from(CASES.get(c.lower(), c.lower() + c.upper()))) for c in name
    ]
    other = "".join(letters)
    if other == name:
        return
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "x", "params": {}}
    (message if name in ("method", "params", "result") else message["params"])[other] = "x"
    with pytest.raises(InvalidRequest):
        read_messages(json.dumps(message).encode())


def asked(method: str, **params: Any) -> Asked:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    (found,) = read_messages(json.dumps(body).encode())
    return found


def test_all_that_a_message_names_is_judged() -> None:
    assert asked("tools/call", name="a").names == ("a",)
    assert asked("resources/read", uri="a://b").names == ("a://b",)
    assert asked("completion/complete", ref={"type": "ref/prompt", "name": "p"}).names == ("p",)
    assert asked("completion/complete", ref={"type": "ref/resource", "uri": "u"}).names == ("u",)
    listened = {"resourceSubscriptions": ["a://1", "a://2"]}
    assert asked("subscriptions/listen", notifications=listened).names == ("a://1", "a://2")
    assert asked("tasks/get", taskId="t").names == ("t",)
    assert asked("tools/list").names == ()


def test_a_batch_is_bounded_and_so_is_what_reading_costs() -> None:
    one = {"jsonrpc": "2.0", "method": "ping"}
    assert len(read_messages(json.dumps([one] * MAX_MESSAGES).encode())) == MAX_MESSAGES
    with pytest.raises(InvalidRequest):
        read_messages(json.dumps([one] * (MAX_MESSAGES + 1)).encode())
    usual, worst = json.dumps({"a": "x" * (1 << 20)}).encode(), b"[" + b"{}," * 349_000 + b"{}]"
    started = time.process_time()
    json.loads(worst)
    plain = time.process_time() - started
    started = time.process_time()
    read_json(usual)
    read_json(worst)
    assert time.process_time() - started < 30 * plain + 0.1, "linear, and not far from json's own"


def test_depth_is_bounded() -> None:
    assert read_json(b"[" * 64 + b"]" * 64)
    for depth in (65, 900, 100_000):
        with pytest.raises(UnreadableJson):
            read_json(b"[" * depth + b"]" * depth)
        with pytest.raises(UnreadableJson):
            read_json(b'{"a":' * depth + b"1" + b"}" * depth)


NEW = (b"mcp-protocol-version", b"2026-07-28")
OLD = (b"mcp-protocol-version", b"2025-11-25")
CALL = Asked(method="tools/call", names=("x",), id=1)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([NEW, (b"mcp-method", b"tools/call"), (b"mcp-name", b"x")], CALL),
        ([NEW, (b"mcp-method", b"tools/call"), (b"mcp-name", b"=?base64?eA==?=")], CALL),
        ([OLD], CALL),
        ([], CALL),
        ([OLD, (b"mcp-method", b"tools/call")], CALL),
        ([NEW, (b"mcp-method", b"tools/list")], Asked(method="tools/list", id=1)),
        ([NEW], Asked(method="notifications/cancelled")),
        ([NEW], Asked(method=None, id=1)),
    ],
)
def test_headers_that_say_what_the_body_says_pass(headers: Any, message: Asked) -> None:
    check_agreement(headers, (message,))


@pytest.mark.parametrize(
    "headers",
    [
        [NEW],
        [NEW, (b"mcp-method", b"tools/call")],
        [NEW, (b"mcp-name", b"x")],
        [NEW, (b"mcp-method", b"tools/list"), (b"mcp-name", b"x")],
        [NEW, (b"mcp-method", b"tools/call"), (b"mcp-name", b"y")],
        [NEW, (b"mcp-method", b"tools/call, tools/call"), (b"mcp-name", b"x")],
        [NEW, (b"mcp-method", b"TOOLS/CALL"), (b"mcp-name", b"x")],
        [OLD, (b"mcp-method", b"tools/list")],
        [(b"mcp-name", b"y")],
    ],
)
def test_spec026_headers_that_differ_from_the_body_are_refused(headers: Any) -> None:
    with pytest.raises(HeaderMismatch):
        check_agreement(headers, (CALL,))


def test_spec026_the_revision_in_the_body_is_that_of_the_header() -> None:
    told = asked("ping", _meta={"io.modelcontextprotocol/protocolVersion": "2026-07-28"})
    assert told.revision == "2026-07-28"
    check_agreement([NEW, (b"mcp-method", b"ping")], (told,))
    with pytest.raises(HeaderMismatch):
        check_agreement([OLD], (told,))
    with pytest.raises(InvalidRequest):
        check_agreement([NEW, (b"mcp-method", b"ping")], (told, told))


def test_attack_e05_a_name_is_bounded_because_rules_remember_how_they_read_it() -> None:
    def body(length: int) -> bytes:
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "x" * length},
        }
        return json.dumps(message).encode()

    assert read_messages(body(2048))[0].method == "tools/call"
    with pytest.raises(InvalidRequest, match="at most 2048 characters"):
        read_messages(body(2049))
