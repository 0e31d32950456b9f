"""What Redis is asked about itself, and what is said of its answer."""

import builtins
import logging
import time
from pathlib import Path

import pytest

from mintage.errors import StoreUnavailable
from mintage.stores.opening import open_store
from mintage.stores.protocol import Index
from mintage.stores.redis import RedisStore
from mintage.stores.redis_link import Link
from mintage.testing.clock import ManualClock
from tests.support.servers import redis_server, started

FAR = 2**40

FORGETFUL = {
    "as it should be": ([], []),
    "no append-only file": (["--appendonly", "no"], ["appendonly off"]),
    "evicting": (["--maxmemory-policy", "allkeys-lru"], ["may evict"]),
}


@pytest.mark.parametrize(("options", "warnings"), FORGETFUL.values(), ids=FORGETFUL)
async def test_a_server_that_may_forget_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: list[str], warnings: list[str]
) -> None:
    caplog.set_level(logging.WARNING, logger="mintage.store")
    with started(redis_server(tmp_path / "redis", *options)) as server:
        store = await open_store(f"redis://127.0.0.1:{server.port}/0", clock=time.time)
        await store.close()
    said = [record.getMessage() for record in caplog.records if record.name == "mintage.store"]
    assert len(said) == len(warnings), said
    for expected, sentence in zip(warnings, said, strict=True):
        assert expected in sentence


async def test_a_cluster_is_asked_too(cluster_url: str, caplog: pytest.LogCaptureFixture) -> None:
    store = await open_store(cluster_url, clock=time.time)
    await store.close()
    assert "mintage.store" not in {record.name for record in caplog.records}


class StandIn:
    """A driver's client whose every command runs *body* as code of the module *name*."""

    def __init__(self, name: str, body: str) -> None:
        self.names: dict[str, object] = {"__name__": name}
        exec(f"async def execute_command(*command):\n    {body}", self.names)  # noqa: S102

    def __getattr__(self, name: str) -> object:
        return self.names[name]


@pytest.mark.parametrize("error", ["TypeError", "AttributeError", "KeyError", "RuntimeError"])
async def test_what_the_driver_stumbles_over_is_an_outage(error: str) -> None:
    link = Link(StandIn("redis.asyncio.cluster", f"raise {error}('gone')"))
    with pytest.raises(StoreUnavailable):
        await link.ask("PING")


@pytest.mark.parametrize("error", ["TypeError", "AttributeError", "KeyError", "RuntimeError"])
async def test_a_mistake_of_this_package_is_no_outage(error: str) -> None:
    link = Link(StandIn("mintage.stores.redis", f"raise {error}('ours')"))
    with pytest.raises(getattr(builtins, error)):
        await link.ask("PING")


async def test_a_refresh_does_not_write_its_names_to_their_lists_again(tmp_path: Path) -> None:
    """Six commands: a load, and a script with four. Each list would be one more, in other slots."""
    with started(redis_server(tmp_path / "redis")) as server:
        store = await RedisStore.open(f"redis://127.0.0.1:{server.port}/0")
        await store.insert(b"k", b"one", Index(b"user", b"client", b"seen yesterday"), FAR)

        async def commands() -> int:
            return int((await store._link.ask("INFO", "stats"))["total_commands_processed"])

        before = await commands()
        seen = await store.load(b"k")
        assert seen is not None
        await store.replace(b"k", seen, b"two", FAR, Index(b"user", b"client", b"seen today"))
        assert await commands() - before - 1 == 6
        [entry] = (await store.list(subject=b"user", client=b"client")).entries
        assert entry.summary == b"seen today"
        await store.close()


async def test_a_record_that_lives_longer_stays_in_its_lists(tmp_path: Path) -> None:
    """The sweep looks at its names when it would have ended, and again when it will end."""
    clock = ManualClock()
    with started(redis_server(tmp_path / "redis")) as server:
        store = await RedisStore.open(f"redis://127.0.0.1:{server.port}/0", clock=clock)
        names = Index(b"user", b"client", b"summary")
        await store.insert(b"k", b"one", names, int(clock()) + 100)
        seen = await store.load(b"k")
        assert seen is not None
        await store.replace(b"k", seen, b"two", int(clock()) + 5000, names)
        clock.advance(1000)
        assert await store.sweep() == 0
        assert [entry.key for entry in (await store.list()).entries] == [b"k"]
        clock.advance(5000)
        assert await store.sweep() == 1
        assert await store._link.ask("ZRANGE", b"mintage:1:all", b"-", b"+", "BYLEX") == []
        await store.close()
