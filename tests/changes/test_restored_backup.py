"""A backup is restored: what the store has forgotten is a lost write, and no theft."""

import logging
import time
from pathlib import Path

import pytest

from mintage.stores.copying import copy
from mintage.stores.opening import open_store
from tests.support.replicas import replica
from tests.support.world import World


@pytest.fixture
def world_store(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/mintage.db"


async def back_up(world: World, tmp_path: Path) -> str:
    url = f"sqlite://{tmp_path}/backup.db"
    backup = await open_store(url, clock=time.time)
    await copy(world.running.store, backup)
    await backup.close()
    return url


async def test_a_refresh_token_from_after_it_works_and_the_log_says_so(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    backup = await back_up(world, tmp_path)
    for _ in range(3):
        tokens = (await client.refresh(tokens["refresh_token"])).json()
    caplog.set_level(logging.WARNING)
    async with replica(world, store=backup) as restored:
        there = restored.seen_by(client)
        assert (await there.call(tokens["access_token"])).status_code == 200
        fresh = await there.refresh(tokens["refresh_token"])
        assert fresh.status_code == 200
        assert "a backup was restored" in caplog.text
        assert (await there.refresh(tokens["refresh_token"])).status_code == 200, "a retry"


async def test_a_login_from_after_it_is_gone(world: World, tmp_path: Path) -> None:
    backup = await back_up(world, tmp_path)
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    async with replica(world, store=backup) as restored:
        there = restored.seen_by(client)
        assert (await there.call(tokens["access_token"])).status_code == 401
        refused = await there.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_login_that_was_revoked_after_it_is_active_again(
    world: World, tmp_path: Path
) -> None:
    """So the runbook ends all that is older than the backup (`mintage grants end --before`)."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    backup = await back_up(world, tmp_path)
    assert (await client.revoke(tokens["refresh_token"])).status_code == 200
    assert (await client.call(tokens["access_token"])).status_code == 401
    async with replica(world, store=backup) as restored:
        there = restored.seen_by(client)
        assert (await there.call(tokens["access_token"])).status_code == 200
