"""A world whose metrics are collected in this process."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mintage.telemetry.cells import Cells
from mintage.telemetry.telemetry import Telemetry
from mintage.testing.browser import Browser
from tests.support.world import World
from tests.telemetry.scrape import Numbers


@pytest.fixture
def cells() -> Cells:
    return Cells()


@pytest.fixture
def numbers(cells: Cells) -> Numbers:
    return Numbers(cells)


@pytest.fixture
def parts(cells: Cells) -> dict[str, Any]:
    return {"telemetry": Telemetry(cells)}


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    async with world.browser() as browser:
        yield browser
