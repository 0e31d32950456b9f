"""The news of other processes' writes: from when on a store tells it, and that it says so."""

import asyncio
import contextlib
import time

import pytest

from mintage.stores.opening import open_store
from mintage.stores.protocol import EVERYTHING

FAR = 2**40


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ],
)
async def test_what_came_before_it_listened_may_be_anything_and_nothing_after_is_missed(
    server: str, request: pytest.FixtureRequest
) -> None:
    """Each time it has begun to listen, the first time and after a break, it says so."""
    url = request.getfixturevalue(server)
    store, other = await open_store(url, clock=time.time), await open_store(url, clock=time.time)
    await other.insert(b"k", b"one", None, FAR)
    async with asyncio.timeout(10), contextlib.aclosing(store.changes()) as changes:  # type: ignore[type-var]
        assert await anext(changes) == EVERYTHING
        seen = await other.load(b"k")
        assert seen is not None
        await other.replace(b"k", seen, b"two", FAR)
        heard = await anext(changes)
        while heard.startswith(b"mintage:"):  # each opening publishes, to see whether it may
            heard = await anext(changes)
        assert heard == b"k"
    await store.close()
    await other.close()
