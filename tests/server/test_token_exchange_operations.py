"""What a token exchange asks of the store: the figures of docs/scaling.md."""

from pathlib import Path
from typing import Any

import pytest

from mintage.testing.counting_store import CountingStore
from tests.support.exchanging import SECRETS, exchanged, logged_in, settings
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    return settings(tmp_path)


async def test_an_exchange_reads_once_and_then_from_memory(
    stores: list[CountingStore], world: World
) -> None:
    (store,) = stores
    _, tokens = await logged_in(world)
    store.forget()
    for _ in range(3):
        await exchanged(world, "notes", tokens["access_token"], "/files")
    assert store.seen == {"load": 1}


async def test_a_backend_that_revokes_reads_once_and_writes_once(
    stores: list[CountingStore], world: World
) -> None:
    (store,) = stores
    _, tokens = await logged_in(world)
    token = (await exchanged(world, "notes", tokens["access_token"], "/files"))["access_token"]
    store.forget()
    answer = await world.http.post(
        f"{world.issuer}/revoke", data={"token": token}, auth=("notes", SECRETS["notes"])
    )
    assert answer.status_code == 200
    assert store.seen == {"load": 1, "replace": 1}
