"""Ten replicas that start at once on an empty store."""

import asyncio
import time
from pathlib import Path

import pytest

from mintage.errors import Exists
from mintage.stores.opening import open_store

FAR = 2**40
REPLICAS = 10


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/store.db"
    found: str = request.getfixturevalue(request.param)
    return found


async def test_ten_replicas_start_at_once_on_an_empty_store(url: str) -> None:
    """One of them makes the tables, all of them can work, and they see one store."""
    stores = await asyncio.gather(*(open_store(url, clock=time.time) for _ in range(REPLICAS)))
    outcomes = await asyncio.gather(
        *(store.insert(b"k", bytes([n]), None, FAR) for n, store in enumerate(stores)),
        return_exceptions=True,
    )
    assert sorted(map(repr, outcomes)) == [repr(Exists())] * (REPLICAS - 1) + ["None"]
    seen = {await store.load(b"k") for store in stores}
    assert len(seen) == 1
    for store in stores:
        await store.close()
