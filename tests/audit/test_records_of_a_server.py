"""What the audit trail of a server says of its settings, and of a user who asks too often."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"audit": {"to": "file:audit.jsonl"}, "limits": {"requests_per_user": 1}}


async def records(tmp_path: Path, action: str, number: int) -> list[dict[str, Any]]:
    """The parts that are Mintage's of all records of *action*, when there are *number*."""
    async with asyncio.timeout(30):
        while True:
            lines = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
            found = [line["mintage"] for line in lines if line["event"]["action"] == action]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)


async def test_the_settings_of_a_start_have_a_digest(world: World, tmp_path: Path) -> None:
    (loaded,) = await records(tmp_path, "settings_loaded", 1)
    assert loaded["occasion"] == "start"
    assert re.fullmatch("[0-9a-f]{12}", loaded["digest"])


async def test_a_user_who_asks_too_often_gets_one_record_in_a_minute(
    world: World, tmp_path: Path
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)

    async def statuses(requests: int) -> list[int]:
        answers = [await client.call(tokens["access_token"]) for _ in range(requests)]
        return [answer.status_code for answer in answers]

    assert await statuses(6) == [200, 429, 429, 429, 429, 429]
    (first,) = await records(tmp_path, "request_refused", 1)
    assert "left_out" not in first
    world.clock.advance(61)
    assert await statuses(3) == [200, 429, 429]
    first, second = await records(tmp_path, "request_refused", 2)
    assert second["left_out"] == 4

    world.upstream.user = "bob"
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    assert await statuses(3) == [200, 429, 429]
    assert len(await records(tmp_path, "request_refused", 3)) == 3
