"""What Redis is asked about itself, and what is said of its answer."""

import builtins
import logging
import time
from pathlib import Path

import pytest

from mintage.errors import StoreUnavailable
from mintage.stores.opening import open_store
from mintage.stores.redis_link import Link
from tests.support.servers import redis_server, started

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
