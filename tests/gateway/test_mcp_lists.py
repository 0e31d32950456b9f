"""Lists of tools without what the caller may not call, in JSON and in event streams."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from mintage.gateway.http1.connection import BackendError
from mintage.gateway.json_reading import UnreadableJson
from mintage.gateway.list_answers import ListFilter, asking_for_plain
from mintage.gateway.mcp_lists import EventFilter, filtered

ASKED: list[tuple[str, str]] = []


def may_call(method: str, name: str) -> bool:
    ASKED.append((method, name))
    return "drop" not in name


def answer(number: int = 1, **result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": result}


TOOLS = answer(tools=[{"name": "list", "x": 1.50}, {"name": "drop"}], nextCursor="c")
SEEN = answer(tools=[{"name": "list", "x": 1.50}], nextCursor="c")


def test_attack_e01_what_may_not_be_called_is_not_listed() -> None:
    ASKED.clear()
    lists = answer(
        tools=[{"name": "drop"}, {"no": "name"}, "drop"],
        prompts=[{"name": "greet"}, {"name": "drop"}],
        resources=[{"uri": "a://drop", "name": "list"}, {"uri": "a://b"}],
        resourceTemplates=[{"uriTemplate": "a://drop/{x}"}],
    )
    assert json.loads(filtered(json.dumps(lists).encode(), may_call))["result"] == {
        "tools": [],
        "prompts": [{"name": "greet"}],
        "resources": [{"uri": "a://b"}],
        "resourceTemplates": [],
    }
    assert {method for method, _ in ASKED} == {"tools/call", "prompts/get", "resources/read"}


def test_a_batch_of_answers_is_filtered_and_the_rest_stays_as_it_is() -> None:
    batch = json.dumps([TOOLS, answer(2, content=[])]).encode()
    assert json.loads(filtered(batch, may_call)) == [SEEN, answer(2, content=[])]
    for untouched in (
        b'{"result":{"tools" : [ {"name":"list"} ]}}',
        b'{"result": 1.0}',
        b"endpoint",
    ):
        assert filtered(untouched, may_call) == untouched


def test_a_name_written_in_escapes_is_found() -> None:
    text = json.dumps(TOOLS).replace('"tools"', '"\\u0074ools"')
    assert json.loads(filtered(text.encode(), may_call)) == SEEN


@pytest.mark.parametrize(
    "body",
    [b'{"result":{"tools":[]', b'{"result":{"tools":[],"tools":[{"name":"drop"}]}}',
     b'{"result":{"tools":{"name":"drop"}}}', json.dumps(TOOLS).encode("utf-16"),
     b"\xef\xbb\xbf" + json.dumps(TOOLS).encode(), b"\xff"],
)  # fmt: skip
def test_what_can_not_be_read_is_not_passed(body: bytes) -> None:
    with pytest.raises(UnreadableJson):
        filtered(body, may_call)


def events(stream: bytes) -> list[dict[str, str]]:
    """The events of *stream*, as a browser reads it (HTML §9.2.6)."""
    text = stream.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        if not line:
            if "data" in fields:
                found.append(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data" and "data" in fields:
                value = f"{fields['data']}\n{value}"
            fields[name] = value
    return found


LINES = st.sampled_from(["\n", "\r\n", "\r"])
EVENT = st.sampled_from(
    [
        ["event: message", f"data: {json.dumps(TOOLS)}"],
        ["id: 7", "data:" + json.dumps(TOOLS), "retry: 5"],
        [f"data: {line}" for line in json.dumps(TOOLS, indent=1).split("\n")],
        ["data: " + json.dumps(answer(2, content=["drop"])), "id: 8", ": a comment"],
        [": ping"],
        ["id: 1", "data"],
        ["event: endpoint", "data: /messages?x=1"],
    ]
)


@given(st.lists(EVENT, max_size=5), LINES, st.data())
def test_attack_e01_an_event_stream_is_filtered_wherever_it_is_cut(
    shown: list[list[str]], end: str, data: st.DataObject
) -> None:
    stream = "".join(end.join(event) + end + end for event in shown).encode()
    if data.draw(st.booleans()):
        stream = b"\xef\xbb\xbf" + stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    events_filter, passed = EventFilter(may_call, 1 << 20), b""
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        passed += events_filter.feed(stream[start:stop])
    passed += events_filter.end()
    assert '"name": "drop"' not in passed.decode()
    assert '"name":"drop"' not in passed.decode()
    for before, after in zip(events(stream), events(passed), strict=True):
        assert {**before, "data": ""} == {**after, "data": ""}
        if '"tools"' in before["data"]:
            assert json.loads(after["data"]) == SEEN
        else:
            assert after["data"] == before["data"]


def test_lines_without_data_do_not_wait() -> None:
    """A comment that keeps the stream alive, above all."""
    events_filter = EventFilter(may_call, 1 << 20)
    assert events_filter.feed(b": ping\n") == b": ping\n"
    assert events_filter.feed(b"data: ") == b""
    assert events_filter.feed(b"x\n\n") == b"data: x\n\n"


def test_an_event_that_never_ends_is_bounded_and_one_cut_off_is_filtered() -> None:
    with pytest.raises(UnreadableJson):
        EventFilter(may_call, 100).feed(b"data: " + b"x" * 100)
    lines = EventFilter(may_call, 100)
    for _ in range(6):
        assert lines.feed(b"data: xxxxxxxx\n") == b""
    with pytest.raises(UnreadableJson):
        lines.feed(b"data: xxxxxxxx\n" * 2)
    cut = EventFilter(may_call, 1 << 20)
    cut.feed(b"data: " + json.dumps(TOOLS).encode())
    assert b"drop" not in cut.end()


class Client:
    """What reaches the client of an answer that is filtered."""

    def __init__(self, method: str = "POST") -> None:
        self.sent: list[Message] = []
        self.refused: list[BackendError] = []
        self.send = ListFilter(self.take, may_call, self.refuse, method, "/mcp")

    async def take(self, message: Message) -> None:
        self.sent.append(message)

    async def refuse(self, error: BackendError) -> None:
        self.refused.append(error)

    async def gets(self, *chunks: bytes, status: int = 200, **headers: str) -> bytes:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        for number, chunk in enumerate(chunks, 1):
            more = number < len(chunks)
            await self.send({"type": "http.response.body", "body": chunk, "more_body": more})
        return b"".join(message.get("body", b"") for message in self.sent)


async def test_a_json_answer_has_the_length_and_no_digest_of_what_was_sent() -> None:
    whole, client = json.dumps(TOOLS).encode(), Client()
    kind = "application/json; charset=utf-8"
    body = await client.gets(
        whole[:20],
        whole[20:],
        content_type=kind,
        content_length="999",
        etag='"x"',
        mcp_session_id="s",
    )
    assert json.loads(body) == SEEN
    assert dict(client.sent[0]["headers"]) == {
        b"content-type": kind.encode(),
        b"mcp-session-id": b"s",
        b"content-length": str(len(body)).encode(),
    }


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {"content_type": "application/json"}),
        (b'{"result":{"tools":', {"content_type": "application/json"}),
        (json.dumps(TOOLS).encode(), {"content_type": "text/plain"}),
        (json.dumps(TOOLS).encode(), {}),
        (b"\x1f\x8b", {"content_type": "application/json", "content_encoding": "gzip"}),
        (b"\x1f\x8b", {"content_type": "text/event-stream", "content_encoding": "br"}),
        (b"x" * (17 << 20), {"content_type": "application/json"}),
    ],
)
async def test_an_answer_that_can_not_be_read_is_refused(
    body: bytes, headers: dict[str, str]
) -> None:
    client = Client()
    passed = await client.gets(body, status=200, **headers)
    if body == b"{":  # nothing in it could be a list
        assert (passed, client.refused) == (body, [])
        return
    assert client.sent == []
    assert [error.status for error in client.refused] == [502]


async def test_an_event_that_can_not_be_read_ends_its_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client("GET")
    good, bad = b"data: 1\n\n", b'data: {"result":{"tools":\n\n'
    body = await client.gets(good, bad, good, content_type="text/event-stream")
    assert body == good
    assert client.sent[-1]["more_body"] is False
    assert "ended an event stream" in caplog.text


async def test_answers_without_a_body_and_errors_pass() -> None:
    for status, body in ((202, b""), (204, b""), (404, b"not here"), (405, b"")):
        client = Client()
        assert await client.gets(body, status=status) == body
        assert client.sent[0]["status"] == status
        assert client.refused == []


async def test_other_answers_to_a_get_pass_as_they_come() -> None:
    client = Client("GET")
    assert await client.gets(b"a", b"b", content_type="text/html") == b"ab"
    assert len(client.sent) == 3


def test_the_backend_is_asked_for_what_can_be_read() -> None:
    headers = [(b"accept-encoding", b"gzip"), (b"range", b"bytes=1-"), (b"accept", b"*/*")]
    assert asking_for_plain(headers) == [(b"accept", b"*/*"), (b"accept-encoding", b"identity")]
