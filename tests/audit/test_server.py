"""A server whose audit trail can't be written serves all the same, and says so."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "audit.jsonl").symlink_to("/dev/full")
    return {"audit": {"to": "file:audit.jsonl", "refusals": "all"}}


async def test_a_full_disk_fails_no_request_and_is_noted(
    world: World, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    assert (await client.call(tokens["access_token"])).status_code == 200
    ready = await readiness(world, failing=True)
    assert ready["audit"] == "records can't be written: No space left on device"
    logged = [one for one in logs(caplog) if "audit.jsonl: records can't be written" in one]
    assert len(logged) == 1
    (tmp_path / "audit.jsonl").unlink()
    assert "audit" not in await readiness(world, failing=False)
    assert (await written(tmp_path / "audit.jsonl", "token_issued")).count('"login"') == 1


async def written(path: Path, action: str) -> str:
    """What is in the file as soon as it has a record of *action*."""
    async with asyncio.timeout(30):
        while f'"{action}"' not in (text := path.read_text()):
            await asyncio.sleep(0.05)
    return text


def logs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Since the server began to start, too."""
    records = caplog.get_records("setup") + caplog.get_records("call")
    return [record.getMessage() for record in records]


async def readiness(world: World, *, failing: bool) -> dict[str, Any]:
    """What ``/readyz`` says as soon as the trail is as expected; a thread works on it."""
    async with asyncio.timeout(30):
        while True:
            answer = await world.http.get(f"{world.issuer}/readyz")
            assert answer.status_code == 200
            found: dict[str, Any] = answer.json()
            if ("audit" in found) is failing:
                return found
            await asyncio.sleep(0.05)
