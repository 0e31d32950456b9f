"""What Redis is asked about itself, and what is said of its answer."""

import logging
import time
from pathlib import Path

import pytest

from mintage.stores.opening import open_store
from tests.stores.servers import redis_server, started

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
