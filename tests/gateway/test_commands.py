"""A server on standard input and output, with login in front: a process for each session."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

from mintage.errors import ConfigError
from mintage.gateway.commands import CommandSessions
from mintage.settings.load import parse
from tests.support.stdio_sessions import INITIALIZE, SERVER, begin, post, said, session, token
from tests.support.world import World


@pytest.fixture
def command() -> dict[str, Any]:
    """Settings of the command that a test wants otherwise: override this fixture."""
    return {}


@pytest.fixture
def overrides(command: dict[str, Any]) -> dict[str, Any]:
    section = {"run": [sys.executable, SERVER], "env": {"API_KEY": "env:SECRET"}} | command
    return {
        "resource": [
            {"path": "/mcp", "scopes": ["tools"], "credential": "identity", "command": section}
        ]
    }


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_of_either_era_calls_its_tools(world: World, mode: str) -> None:
    """Newer clients are told which revisions there are, and take one of those."""
    async with session(world, await token(world), mode) as client:
        assert int(await said(client, "pid")) != os.getpid()
        assert [await said(client, "counted") for _ in range(2)] == ["1", "2"]


async def test_each_session_has_a_process_of_its_own(world: World) -> None:
    access = await token(world)
    async with session(world, access) as one, session(world, access) as other:
        pids = {await said(one, "pid"), await said(other, "pid")}
        assert len(pids) == 2
        assert (await said(one, "counted"), await said(other, "counted")) == ("1", "1")


async def test_a_session_that_ends_takes_its_process_along(world: World) -> None:
    async with session(world, await token(world)) as client:
        pid = int(await said(client, "pid"))
        assert is_running(pid)
    await eventually(lambda: not is_running(pid))


async def test_the_server_that_stops_leaves_no_process(world: World) -> None:
    opened = await begin(world, await token(world))
    assert opened.status_code == 200
    sessions = world.running.gateway.sessions["/mcp"]
    assert len(sessions) == 1
    await sessions.close()
    assert len(sessions) == 0


async def test_nobody_gets_in_without_a_token(world: World) -> None:
    answer = await world.http.post(world.resource, json=INITIALIZE)
    assert answer.status_code == 401
    assert "resource_metadata=" in answer.headers["www-authenticate"]
    assert len(world.running.gateway.sessions["/mcp"]) == 0


async def test_spec029_a_session_is_its_users_alone(world: World) -> None:
    """Whoever learns the session's id still has to be its user."""
    opened = await begin(world, await token(world))
    name = opened.headers["mcp-session-id"]
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    stranger = await token(world, "mallory")
    assert (await post(world, stranger, listing, mcp_session_id=name)).status_code == 404
    assert (await world.http.delete(
        world.resource, headers={"authorization": f"Bearer {stranger}", "mcp-session-id": name}
    )).status_code == 404  # fmt: skip
    again = await token(world)  # another client of the same user is another client
    assert (await post(world, again, listing, mcp_session_id=name)).status_code == 404
    assert len(world.running.gateway.sessions["/mcp"]) == 1


async def test_a_process_sees_its_user_and_none_of_our_secrets(world: World) -> None:
    os.environ["MINTAGE_TEST_SECRET"] = "ours"
    try:
        async with session(world, await token(world)) as client:
            assert await said(client, "environment", name="MINTAGE_USER") == "alice"
            assert len(await said(client, "environment", name="API_KEY")) > 32
            assert await said(client, "environment", name="MINTAGE_TEST_SECRET") == ""
            assert await said(client, "environment", name="PATH") != ""
    finally:
        del os.environ["MINTAGE_TEST_SECRET"]


async def test_what_it_says_before_the_answer_arrives_before_the_answer(world: World) -> None:
    heard: list[str | None] = []

    async def heard_of(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with session(world, await token(world)) as client:
        result = await client.call_tool("slowly", {}, progress_callback=heard_of)
    assert isinstance(result.content[0], TextContent)
    assert (result.content[0].text, heard) == ("done", ["halfway"])


async def test_a_line_that_is_no_message_is_left_out(world: World) -> None:
    async with session(world, await token(world)) as client:
        assert await said(client, "noise") == "done"
        assert await said(client, "counted") == "1"


async def test_a_process_that_dies_leaves_nobody_waiting(world: World) -> None:
    async with session(world, await token(world)) as client:
        with pytest.raises(MCPError, match="has ended"):
            await said(client, "crash")
    await eventually(lambda: len(world.running.gateway.sessions["/mcp"]) == 0)


@pytest.mark.parametrize("command", [{"run": ["/nowhere/no-such-program"]}])
async def test_a_program_that_is_not_there_is_said_to_be_ours(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await begin(world, await token(world))
    assert answer.status_code == 502
    assert "can't be started" in answer.json()["error"]["message"]
    assert len(world.running.gateway.sessions["/mcp"]) == 0
    gc.collect()  # a task whose end nobody looked at says so when it is forgotten
    faults = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.exc_info for record in faults] == [None]
    assert "/nowhere/no-such-program" in faults[0].getMessage()


@pytest.mark.parametrize("command", [{"run": [sys.executable, SERVER, "--refuse"]}])
async def test_a_program_that_gives_up_at_once_leaves_no_session(world: World) -> None:
    answer = await begin(world, await token(world))
    assert "has ended" in answer.text or answer.status_code >= 400
    await eventually(lambda: len(world.running.gateway.sessions["/mcp"]) == 0)


@pytest.mark.parametrize("command", [{"max_sessions_per_user": 2}])
async def test_a_user_with_too_many_sessions_loses_the_oldest(world: World) -> None:
    access = await token(world)
    names = [(await begin(world, access)).headers["mcp-session-id"] for _ in range(3)]
    listing = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    found = [
        (await post(world, access, listing, mcp_session_id=name)).status_code for name in names
    ]
    assert found == [404, 200, 200]


@pytest.mark.parametrize("command", [{"max_sessions": 1}])
async def test_when_all_are_taken_others_wait(world: World) -> None:
    assert (await begin(world, await token(world))).status_code == 200
    refused = await begin(world, await token(world, "bob"))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0


async def end(world: World, access: str, name: str) -> None:
    headers = {"authorization": f"Bearer {access}", "mcp-session-id": name}
    assert (await world.http.delete(world.resource, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "command", [{"max_sessions": 1, "run": [sys.executable, SERVER, "--linger"]}]
)
async def test_attack_e09_a_process_counts_until_it_is_gone(world: World) -> None:
    """Its session has ended; the process takes a second more."""
    access = await token(world)
    other = await token(world, "bob")
    await end(world, access, (await begin(world, access)).headers["mcp-session-id"])
    assert len(world.running.gateway.sessions["/mcp"]) == 1
    assert (await begin(world, other)).status_code == 503
    await eventually(lambda: len(world.running.gateway.sessions["/mcp"]) == 0)
    assert (await begin(world, other)).status_code == 200


@pytest.mark.parametrize(
    "command",
    [{"max_sessions_per_user": 2, "run": [sys.executable, SERVER, "--linger"]}],
)
async def test_attack_e09_a_user_has_so_many_processes_with_any_number_of_clients(
    world: World,
) -> None:
    """Each login is another client's. The fourth begins when the oldest is gone, and not before."""
    most = 0
    sessions = world.running.gateway.sessions["/mcp"]
    for access in [await token(world) for _ in range(4)]:
        answer = await begin(world, access)
        most = max(most, len(sessions))
        assert answer.status_code == 200
    assert most == len(sessions) == 2


@pytest.mark.parametrize(
    "command",
    [{"max_sessions_per_user": 2, "run": [sys.executable, SERVER, "--linger"]}],
)
async def test_attack_e09_nor_if_they_begin_at_once(world: World) -> None:
    tokens = [await token(world) for _ in range(5)]
    answers = await asyncio.gather(*(begin(world, access) for access in tokens))
    assert {answer.status_code for answer in answers} == {200, 503}
    assert len(world.running.gateway.sessions["/mcp"]) <= 2


@pytest.mark.parametrize(
    "command",
    [{"max_sessions_per_user": 1, "run": [sys.executable, SERVER, "--linger"]}],
)
async def test_attack_e09_the_oldest_process_is_gone_before_the_next_one_starts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operating system is asked, and not the list of those that are counted."""
    start, still_there = CommandSessions._start, list[bool]()

    async def noting(sessions: CommandSessions, new: Any) -> bool:
        still_there.append(is_running(oldest))
        return await start(sessions, new)

    async with session(world, await token(world)) as first:
        oldest = int(await said(first, "pid"))
        monkeypatch.setattr(CommandSessions, "_start", noting)
        assert (await begin(world, await token(world))).status_code == 200
    assert still_there == [False]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"id":' * 100_000, b'{"a":[' * 50_000 + b"1"])
@pytest.mark.parametrize("revision", ["2025-11-25", "2099-01-01"])
async def test_a_message_of_many_levels_is_refused(
    world: World, body: bytes, revision: str
) -> None:
    """The reader of JSON gives up on it with another error than for what is no JSON."""
    headers = {
        "authorization": f"Bearer {await token(world)}",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": revision,
    }
    answer = await world.http.post(world.resource, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["id"] is None
    assert len(world.running.gateway.sessions["/mcp"]) == 0


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("POST", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        ("POST", {"jsonrpc": "2.0", "method": "initialize", "params": {}}),
        ("POST", {"jsonrpc": "2.0", "id": 1, "method": "initialize"}),
        ("POST", [INITIALIZE]),
        ("POST", {"x": 1}),
        ("GET", None),
        ("DELETE", None),
        ("PUT", INITIALIZE),
    ],
)
async def test_attack_e09_only_an_initialize_starts_a_process(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, message: Any
) -> None:
    started: list[object] = []
    monkeypatch.setattr(CommandSessions, "_start", lambda *_: started.append(1))
    headers = {
        "authorization": f"Bearer {await token(world)}",
        "accept": "application/json, text/event-stream",
    }
    answer = await world.http.request(method, world.resource, json=message, headers=headers)
    assert (answer.status_code, started) == (400, [])
    assert "initialize" in answer.json()["error"]["message"]


@pytest.mark.parametrize("command", [{"idle_seconds": 0.2}])
async def test_a_session_that_nobody_uses_ends(world: World) -> None:
    assert (await begin(world, await token(world))).status_code == 200
    await eventually(lambda: len(world.running.gateway.sessions["/mcp"]) == 0)


@pytest.mark.parametrize(
    "message",
    [{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"x": 1}],
    ids=["no initialize", "no message"],
)
async def test_a_request_that_begins_no_session_leaves_none(
    world: World, message: dict[str, Any]
) -> None:
    answer = await post(world, await token(world), message)
    assert 400 <= answer.status_code < 500
    await eventually(lambda: len(world.running.gateway.sessions["/mcp"]) == 0)


async def test_a_body_that_is_too_large_starts_nothing(world: World) -> None:
    answer = await post(world, await token(world), {"x": "x" * (5 * 1024 * 1024)})
    assert answer.status_code == 413
    assert len(world.running.gateway.sessions["/mcp"]) == 0


def broken(**resource: Any) -> str:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp"} | resource],
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, base=Path(), environ={})
    return caught.value.key


def test_settings_that_cannot_be_meant() -> None:
    run = {"run": ["x"]}
    assert broken(command={"run": []}) == "resource[0].command.run"
    assert broken(command={"run": [""]}) == "resource[0].command.run"
    assert broken(command=run, backend="http://127.0.0.1") == "resource[0].command"
    assert broken(command=run, credential="upstream") == "resource[0].credential"
    assert broken(command={"run": ["x"], "env": {"A": "plain"}}) == "resource.command.env.A"
