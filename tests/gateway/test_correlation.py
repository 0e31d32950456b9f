"""One id from the proxy in front to the backend, and in each line of the log between."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mintage.logs import JsonLines, RequestFilter, TextLines
from mintage.testing.nanoidp import free_port
from tests.support.world import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Lines(logging.Handler):
    """What a program reads."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.addFilter(RequestFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(JsonLines().format(record)))
        self.texts.append(TextLines().format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root, access = Lines(), logging.getLogger(), logging.getLogger("mintage.access")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)
    access.setLevel(logging.NOTSET)


class TestFromAStranger:
    @pytest.mark.parametrize("said", ["mine", "0a1b2c3d4e5f"])
    async def test_an_id_counts_for_nothing(self, world: World, said: str) -> None:
        answer = await world.http.get(world.resource, headers={"x-request-id": said})
        assert re.fullmatch("[0-9a-f]{12}", answer.headers["x-request-id"])
        assert answer.headers["x-request-id"] != said


class TestFromATrustedProxy:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"gateway": {"trusted_proxies": ["127.0.0.1"]}}

    async def test_an_id_goes_to_the_backend_and_back(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        answer = await world.http.get(
            world.resource,
            headers={
                "authorization": f"Bearer {tokens['access_token']}",
                "x-request-id": "edge-7.f81d4fae-7dec-11d0",
                "traceparent": PARENT,
            },
        )
        assert answer.headers.get_list("x-request-id") == ["edge-7.f81d4fae-7dec-11d0"]
        seen = world.backend.requests[-1].headers
        assert seen.getlist("x-request-id") == ["edge-7.f81d4fae-7dec-11d0"]
        assert seen["traceparent"] == PARENT

    @pytest.mark.parametrize("said", ["", "a b", 'a"', "é", "a,b", "x" * 101])
    async def test_an_id_that_is_none_is_replaced(self, world: World, said: str) -> None:
        headers = [(b"x-request-id", said.encode("latin-1"))]
        answer = await world.http.get(world.resource, headers=headers)
        assert re.fullmatch("[0-9a-f]{12}", answer.headers["x-request-id"])

    async def test_of_two_ids_neither_counts(self, world: World) -> None:
        headers = [("x-request-id", "one"), ("x-request-id", "two")]
        answer = await world.http.get(world.resource, headers=headers)
        assert re.fullmatch("[0-9a-f]{12}", answer.headers["x-request-id"])


async def test_each_line_of_a_request_names_it_and_its_trace(world: World, lines: Lines) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(3600)
    world.upstream.faults["token"] = "503"
    lines.lines.clear()
    lines.texts.clear()
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": client.client_id,
    }
    answer = await world.http.post(
        f"{world.issuer}/token", data=form, headers={"traceparent": PARENT}
    )
    assert answer.status_code == 503
    reference = answer.headers["x-request-id"]
    ours = [line for line in lines.lines if line["logger"].startswith("mintage")]
    assert len(ours) >= 2
    assert {line["request_id"] for line in ours} == {reference}
    assert {line["trace_id"] for line in ours} == {TRACE}
    assert all(text.count(reference) == 1 for text in lines.texts if "mintage." in text)


async def test_all_lines_of_a_grant_are_found_by_its_id(world: World, lines: Lines) -> None:
    """Also of requests with a token of it that are refused."""
    access = logging.getLogger("mintage.access")
    access.setLevel(logging.INFO)
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    await client.call(tokens["access_token"])
    [grant] = {line["grant"] for line in lines.lines if line.get("event") == "token_issued"}
    lines.lines.clear()
    await client.revoke(tokens["refresh_token"])
    await client.revoke(tokens["refresh_token"])
    await client.refresh(tokens["refresh_token"])
    await client.call(tokens["access_token"])
    await client.call("no token")
    of_server = [line for line in lines.lines if line["logger"] == "mintage.server"]
    assert [line.get("grant") for line in of_server] == [grant, grant, grant, None]
    assert [f"grant {grant}" in line["message"] for line in of_server] == [True, True, True, False]
    of_access = {line["request_id"]: line["grant"] for line in lines.lines if "path" in line}
    refused = [line["request_id"] for line in of_server]
    assert [of_access[one] for one in refused[-3:]] == [grant, grant, None]


@pytest.mark.parametrize(
    "parent",
    [
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        "x" * 5000,
        f"{PARENT}\x1b[2J",
    ],
)
async def test_a_trace_that_is_none_is_not_logged(world: World, lines: Lines, parent: str) -> None:
    await world.http.get(world.resource, headers={"traceparent": parent})
    assert not any("trace_id" in line for line in lines.lines)


def test_a_line_outside_of_a_request_names_none(lines: Lines) -> None:
    logging.getLogger("mintage").warning("on its own")
    assert "request_id" not in lines.lines[-1]
    assert lines.texts[-1].endswith("mintage on its own")


class TestBackend:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        self.port = free_port()
        backend = f"http://127.0.0.1:{self.port}/mcp"
        return {"resource": [{"path": "/mcp", "backend": backend, "credential": "none"}]}

    async def test_that_is_down_is_named_with_the_cause(self, world: World, lines: Lines) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        answer = await client.call(tokens["access_token"])
        assert answer.status_code == 502
        assert str(self.port) not in answer.text
        (line,) = [line for line in lines.lines if "stage backend" in line["message"]]
        assert f"127.0.0.1:{self.port}: the backend can't be reached" in line["message"]
        assert "refused" in line["message"] or "Connect call failed" in line["message"]


class TestAccessLog:
    def turn_on(self) -> None:
        logging.getLogger("mintage.access").setLevel(logging.INFO)

    async def test_is_off_until_its_own_level_is_set(self, world: World, lines: Lines) -> None:
        await world.http.get(world.resource)
        assert not [line for line in lines.lines if line["logger"] == "mintage.access"]

    async def test_has_a_line_for_each_request_without_its_query(
        self, world: World, lines: Lines
    ) -> None:
        self.turn_on()
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        await client.call(tokens["access_token"])
        found = [line for line in lines.lines if line["logger"] == "mintage.access"]
        assert [(line["method"], line["path"], line["status"]) for line in found] == [
            ("POST", "/register", 201),
            ("GET", "/authorize", 200),
            ("POST", "/consent", 200),
            ("GET", "/callback", 200),
            ("POST", "/token", 200),
            ("GET", "/mcp", 200),
        ]
        assert not [text for text in lines.texts if " mintage." in text and "?" in text]
        called = found[-1]
        assert called["client"] == "127.0.0.1"
        assert called["endpoint"] == "resource"
        assert re.fullmatch("[a-z2-7]{16}", called["grant"])
        assert called["duration_ms"] >= 0
        assert f"grant {called['grant']}" in called["message"]
        assert all(line["grant"] is None for line in found[:-1])

    async def test_escapes_and_cuts_a_path(self, world: World, lines: Lines) -> None:
        self.turn_on()
        await world.http.get(f"{world.issuer}/" + "%1b" * 300)
        (line,) = [line for line in lines.lines if line["logger"] == "mintage.access"]
        assert len(line["path"]) == 300
        assert line["status"] == 400
