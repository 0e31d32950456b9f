"""Each store fails under full traffic, in each of its ways.

Clients see success or 503, nothing that was acknowledged is lost, no token is refused
afterwards, and no server needs a restart. ``MINTAGE_STRESS=full`` gives each fault ten seconds
and three rounds. Each test prints its counts: see them with ``-s``.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from mintage.app import Mintage
from mintage.network.tls import trusted
from mintage.testing.serving import serving
from tests.faults.fault_rigs import Stand
from tests.faults.traffic import SLOWEST, Traffic
from tests.support.fleet import Fleet, fleet

FULL = os.environ.get("MINTAGE_STRESS") == "full"
SECONDS = 10.0 if FULL else 0.7
ROUNDS = 3 if FULL else 1
KILLS = 20 if FULL else 1
RECOVERY = 20.0  # seconds after a fault is mended, at most

STANDS = {
    "sqlite_on_a_small_disk": ["full"],
    "sqlite": ["read-only", "locked"],
    "postgres": ["killed", "frozen", "cut", "silent", "slow", "read-only", "terminated"],
    "redis": ["killed", "frozen", "cut", "silent", "slow", "read-only", "demoted"],
    "pooler": ["killed", "frozen", "cut", "engine killed", "engine frozen"],
    "restricted": ["frozen", "cut", "silent", "without rights"],
    "sentinel": ["failed over by hand", "killed", "frozen"],
    "cluster": ["killed", "frozen"],
}
FAULTS = [
    pytest.param(stand, fault, marks=pytest.mark.xdist_group(f"faults-{stand}"))
    for stand, faults in STANDS.items()
    for fault in faults
]
SHARED = [
    pytest.param(stand, marks=pytest.mark.xdist_group(f"faults-{stand}"))
    # SQLite has a test of its own, with twenty kills, beside the processes it is about.
    for stand in ("postgres", "redis", *(("sqlite", "sentinel") if FULL else ()), "cluster")
]
pytestmark = [
    pytest.mark.timeout(1800 if FULL else 120),
    # A driver leaves the sockets of broken connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@asynccontextmanager
async def in_this_process(running: Fleet) -> AsyncIterator[None]:
    app = Mintage(running.config)
    async with app.running():
        config = uvicorn.Config(
            app, host="127.0.0.1", port=running.ports[0], log_config=None, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        async with serving(uvicorn.Server(config)):
            yield


async def traffic_of(running: Fleet, http: httpx2.AsyncClient) -> Traffic:
    client = await running.client_at(0, http, "").register()
    return Traffic(client, lambda: running.code(client.client_id))


@pytest.fixture
def stand(request: pytest.FixtureRequest) -> Stand:
    found: Stand = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=60) as client:
        yield client


@pytest.mark.parametrize(("stand", "fault"), FAULTS, indirect=["stand"])
async def test_attack_d11_a_store_that_fails_is_503_and_loses_nothing(
    stand: Stand,
    fault: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    http: httpx2.AsyncClient,
) -> None:
    async with fleet(tmp_path, processes=1, store=stand.url) as running, in_this_process(running):
        traffic = await traffic_of(running, http)
        recovered = 0.0
        async with traffic.running():
            for _ in range(ROUNDS):
                await asyncio.sleep(0.2)
                await stand.faults[fault](SECONDS)
                recovered = max(recovered, await traffic.recovered(RECOVERY))
        await traffic.settle()
    ledger = traffic.ledger
    print(f"\n{request.node.callspec.id}: {ledger}, on again after {recovered:.1f} s")  # noqa: T201
    assert not ledger.refused
    assert not ledger.lost
    assert not ledger.broken
    assert ledger.slowest < SLOWEST


@pytest.mark.parametrize("stand", SHARED, indirect=True)
async def test_attack_d10_kill_minus_nine_of_mintage_loses_nothing(
    stand: Stand, request: pytest.FixtureRequest, tmp_path: Path, http: httpx2.AsyncClient
) -> None:
    async with fleet(tmp_path, processes=1, store=stand.url) as running, AsyncExitStack() as stack:
        async with running.serving(0) as child:
            traffic = await traffic_of(running, http)
            await stack.enter_async_context(traffic.running())
            await asyncio.sleep(0.3)
            child.kill()
        for kill in range(KILLS):
            async with running.serving(0) as child:
                await traffic.recovered(RECOVERY)
                await asyncio.sleep(0.1 + 0.01 * kill)
                child.kill()
        async with running.serving(0):
            await traffic.recovered(RECOVERY)
            await stack.aclose()
            await traffic.settle()
    ledger = traffic.ledger
    print(f"\n{request.node.callspec.id}, Mintage killed: {ledger}")  # noqa: T201
    assert not ledger.refused
    assert not ledger.lost
    assert ledger.broken
