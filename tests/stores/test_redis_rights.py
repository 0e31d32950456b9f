"""Redis as hosting providers hand it out: renamed commands, and users with an ACL."""

import asyncio
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from mintage.errors import StoreUnavailable, StoreUnusable
from mintage.stores.opening import open_store
from mintage.stores.protocol import EVERYTHING, SWEEP_MARGIN, UNLISTED, Index, Store
from mintage.testing.clock import ManualClock
from mintage.testing.nanoidp import free_port
from tests.support.servers import Server, program, redis_server, started

ROOT = Path(__file__).parents[2]
FAR = 2**40
NAMES = Index(b"subject", b"client", b"summary")
DOCUMENTED = (
    "~mintage:1:* &mintage:1:changes "
    "+eval +hmget +hget +hset +hdel +del +expireat +publish +zadd +zrem +zrange +zscore "
    "+subscribe +unsubscribe +ping +time +scan +zscan"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with started(redis_server(tmp_path / "redis")) as server:
        yield server


def allow(server: Server, *rules: str) -> str:
    """The URL of a user with those rules."""
    command = [program("redis-cli"), "-p", str(server.port), "ACL", "SETUSER", "mint", "reset"]
    done = subprocess.run(
        [*command, "on", ">pw", *rules], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "OK", done.stdout
    return f"redis://mint:pw@127.0.0.1:{server.port}/0"


async def works(store: Store) -> None:
    """A login from its beginning to its end."""
    await store.insert(b"k", b"code", NAMES, FAR)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"active", FAR)
    assert len((await store.list(subject=b"subject", client=b"client")).entries) == 1
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"revoked", FAR, UNLISTED)
    await store.delete(b"k")
    await store.sweep()
    await store.status()


RESTRICTED = {
    "as documented": (DOCUMENTED.split(), []),
    "no dangerous commands": (["~*", "&*", "+@all", "-@admin", "-@dangerous"], []),
    "no channels": (["~*", "resetchannels", "+@all"], ["publish on the channel"]),
    "neither": (["~*", "+@all", "-@admin", "-@dangerous"], ["publish on the channel"]),
    "its keys alone": (["~mintage:1:*", "&mintage:1:*", "+@all"], []),
    "without TIME": ([*DOCUMENTED.split(), "-time"], []),
}


@pytest.mark.parametrize(("rules", "warnings"), RESTRICTED.values(), ids=RESTRICTED)
async def test_a_restricted_user_can_do_the_work(
    server: Server, rules: list[str], warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(allow(server, *rules), clock=time.time)
    await works(store)
    assert [row.key async for row in store.rows() if row.key == b"k"] == []
    await store.close()
    for warning in warnings:
        assert warning in caplog.text


IN_A_CLUSTER = [*DOCUMENTED.split(), "+cluster", "+command", "+readonly"]


def test_the_manual_lists_these_rights() -> None:
    page = (ROOT / "docs/how-to/run-a-store.md").read_text(encoding="utf-8")
    assert DOCUMENTED in page
    assert "For a Cluster, add `+cluster +command +readonly`" in page


@pytest.fixture
def restricted_cluster(cluster: list[Server], cluster_url: str) -> Iterator[str]:
    """The URL of a user who has them at every node."""
    for node in cluster:
        allow(node, *IN_A_CLUSTER)
    yield cluster_url.replace("//", "//mint:pw@")
    for node in cluster:
        command = [program("redis-cli"), "-p", str(node.port), "ACL", "DELUSER", "mint"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.xdist_group("redis")
async def test_a_restricted_user_can_do_the_work_in_a_cluster(restricted_cluster: str) -> None:
    store = await open_store(restricted_cluster, clock=time.time)
    await works(store)
    for name in (b"a", b"b", b"c", b"d"):  # on each of the nodes
        await store.insert(name, b"one", NAMES, FAR)
    heard = asyncio.ensure_future(anext(aiter(store.changes())))
    assert await asyncio.wait_for(heard, 5) == EVERYTHING
    assert {row.key async for row in store.rows()} == {b"a", b"b", b"c", b"d"}
    await store.close()


@pytest.mark.xdist_group("redis")
@pytest.mark.parametrize("command", ["cluster", "eval"])
async def test_a_command_that_is_forbidden_in_a_cluster_is_named(
    cluster: list[Server], restricted_cluster: str, command: str
) -> None:
    for node in cluster:
        allow(node, *IN_A_CLUSTER, f"-{command}")
    with pytest.raises(StoreUnusable, match=f"ACL does not allow this user .*{command.upper()}"):
        await open_store(restricted_cluster, clock=time.time)


async def test_a_cluster_that_is_away_or_none_is_said(server: Server) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await open_store(f"redis+cluster://127.0.0.1:{free_port()}", clock=time.time)
    with pytest.raises(StoreUnusable, match="no Redis Cluster; write redis://"):
        await open_store(f"redis+cluster://127.0.0.1:{server.port}", clock=time.time)


async def test_a_server_without_config_and_info_can_do_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renamed = ("--rename-command", "CONFIG", "", "--rename-command", "INFO", "")
    server = redis_server(tmp_path / "managed", *renamed)
    with started(server):
        store = await open_store(f"redis://127.0.0.1:{server.port}/0", clock=time.time)
        await works(store)
        await store.close()
    assert "this Redis has no CONFIG GET" in caplog.text
    assert "this Redis has no INFO" in caplog.text


@pytest.mark.parametrize("command", ["eval", "hmget", "zadd", "zrange", "zscore", "zrem"])
async def test_a_command_that_is_needed_and_forbidden_is_named(
    server: Server, command: str
) -> None:
    url = allow(server, "~*", "&*", "+@all", f"-{command}")
    with pytest.raises(StoreUnusable, match=f"ACL does not allow this user .*{command.upper()}"):
        await open_store(url, clock=time.time)


@pytest.mark.parametrize("command", ["hset", "expireat", "del"])
async def test_a_command_inside_a_script_is_named(server: Server, command: str) -> None:
    url = allow(server, "~*", "&*", "+@all", f"-{command}")
    with pytest.raises(StoreUnusable, match=f"ACL does not allow this user .*{command.upper()}"):
        await open_store(url, clock=time.time)


async def test_a_command_that_was_renamed_is_named(tmp_path: Path) -> None:
    server = redis_server(tmp_path / "managed", "--rename-command", "EVAL", "")
    with started(server), pytest.raises(StoreUnusable, match="no EVAL: it was renamed"):
        await open_store(f"redis://127.0.0.1:{server.port}/0", clock=time.time)


async def test_keys_that_are_forbidden_are_said(server: Server) -> None:
    with pytest.raises(StoreUnusable, match=r"ACL does not allow.* key"):
        await open_store(allow(server, "~other:*", "&*", "+@all"), clock=time.time)


async def test_a_wrong_password_is_called_so(server: Server) -> None:
    url = allow(server, "~*", "&*", "+@all").replace(":pw@", ":wrong@")
    with pytest.raises(StoreUnusable, match="user or password"):
        await open_store(url, clock=time.time)


async def test_without_the_channel_it_is_said_once_what_that_costs(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mintage.stores.redis._DEAF_SECONDS", 0.01)
    store = await open_store(allow(server, "~*", "resetchannels", "+@all"), clock=time.time)

    async def listen() -> None:
        async for key in store.changes():
            raise AssertionError(key)

    listener = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        while "changes" not in caplog.text:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # some more attempts
    assert caplog.text.count("changes by other processes do not arrive") == 1
    assert "SUBSCRIBE mintage:1:changes" in caplog.text
    allow(server, "~*", "&*", "+@all")
    with pytest.raises(AssertionError, match=repr(EVERYTHING)):
        async with asyncio.timeout(5):
            await listener
    await store.close()


async def test_two_prefixes_share_a_server_and_nothing_else(server: Server) -> None:
    url = f"redis://127.0.0.1:{server.port}/0"
    first = await open_store(f"{url}?prefix=first", clock=time.time)
    second = await open_store(f"{url}?prefix=second", clock=time.time)
    heard: list[bytes] = []

    async def listen() -> None:
        async for key in second.changes():
            heard.extend([key])

    listener = asyncio.create_task(listen())
    await first.insert(b"k", b"one", NAMES, FAR)
    async with asyncio.timeout(10):
        while not heard:  # it listens
            await asyncio.sleep(0.01)
    await first.delete(b"k")
    await first.insert(b"k", b"one", NAMES, FAR)
    assert await second.load(b"k") is None
    assert (await second.list()).entries == ()
    assert [row async for row in second.rows()] == []
    await second.insert(b"k", b"two", NAMES, FAR)
    await asyncio.sleep(0.2)
    assert heard == [EVERYTHING], "what the other one changed is none of its own"
    listener.cancel()
    await first.close()
    await second.close()
    with pytest.raises(StoreUnusable, match="prefix"):
        await open_store(f"{url}?prefix=a*b", clock=time.time)


@pytest.fixture
async def client(server: Server) -> Redis:
    return Redis(port=server.port)


async def test_names_go_with_the_grant(server: Server, client: Redis) -> None:
    """Ended, revoked or listed under others: nothing is left of the former names."""
    store = await open_store(f"redis://127.0.0.1:{server.port}/0", clock=time.time)
    await store.insert(b"deleted", b"one", NAMES, FAR)
    await store.delete(b"deleted")
    await store.insert(b"revoked", b"one", NAMES, FAR)
    seen = await store.load(b"revoked")
    assert seen is not None
    await store.replace(b"revoked", seen, b"two", FAR, UNLISTED)
    assert await client.keys("*") == [b"mintage:1:revoked"]
    await store.insert(b"renamed", b"one", NAMES, FAR)
    seen = await store.load(b"renamed")
    assert seen is not None
    await store.replace(b"renamed", seen, b"two", FAR, Index(b"new", b"client", b"s"))
    assert await client.zrange("mintage:1:subject:subject", 0, -1) == []
    assert await client.zrange("mintage:1:client:client", 0, -1) == [b"renamed"]
    assert await client.zcard("mintage:1:ends") == 1
    await store.close()
    await client.aclose()


async def test_a_sweep_survives_what_it_can_not_read(
    server: Server, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A foreign member and a damaged field: an ERROR each, and all the others go."""
    clock = ManualClock()
    store = await open_store(f"redis://127.0.0.1:{server.port}/0", clock=clock)
    for n in range(3):
        await store.insert(bytes([n]), b"one", NAMES, int(clock()) + 10)
    await client.zadd("mintage:1:ends", {b"foreign": 5, b"\xc1\xff": 6})
    await client.hset("mintage:1:\1", "e", "soon")
    clock.advance(10 + SWEEP_MARGIN)
    caplog.set_level(logging.ERROR)
    assert await store.sweep() == 2
    assert await store.sweep() == 0
    assert len(caplog.records) == 3
    assert await store.load(b"\1") is None
    [entry] = (await store.list()).entries
    assert entry.key == b"\1", "it is listed, so that it can be ended"
    await store.delete(entry.key)
    assert (await store.list()).entries == ()
    assert await client.zcard("mintage:1:ends") == 2, "what is foreign is left alone"
    await store.close()
    await client.aclose()


async def test_a_server_that_refuses_is_not_said_to_be_silent(tmp_path: Path) -> None:
    server = redis_server(tmp_path / "few", "--min-replicas-to-write", "1")
    with started(server), pytest.raises(StoreUnavailable, match="refuses HSET for now"):
        await open_store(f"redis://127.0.0.1:{server.port}/0", clock=time.time)
