"""One running system for tests that are no coroutines: those in which Hypothesis draws examples."""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import OAuthClient
from tests.support.world import World, opened_world

T = TypeVar("T")
FULL: Final = os.environ.get("MINTAGE_STRESS") == "full"


class Stage:
    """One running system for all plays."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.succeeded: Counter[str] = Counter()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self, stack: AsyncExitStack, directory: Path, overrides: dict[str, Any]) -> None:
        upstream = await stack.enter_async_context(FakeUpstream(self.clock).running())
        self.world: World = await stack.enter_async_context(
            opened_world(
                self.clock,
                upstream,
                directory,
                {"grants": {"max_per_user_and_client": 1000}} | overrides,
                {},
            )
        )


@pytest.fixture
def stage_settings() -> dict[str, Any]:
    """Settings that a test wants otherwise: override this fixture."""
    return {}


@pytest.fixture
def stage(stage_settings: dict[str, Any]) -> Iterator[Stage]:
    stage = Stage()
    stack = AsyncExitStack()
    with stage.runner, tempfile.TemporaryDirectory() as directory:
        stage.run(stage.open(stack, Path(directory), stage_settings))
        yield stage
        stage.run(stack.aclose())
        stage.run(asyncio.sleep(0.1))  # the servers' last connections are being closed


@pytest.fixture
def tokens(stage: Stage) -> tuple[OAuthClient, dict[str, str]]:
    """A client that has logged in, and what it got."""

    async def log_in() -> tuple[OAuthClient, dict[str, str]]:
        client = await stage.world.client()
        async with stage.world.browser() as browser:
            return client, await client.tokens(browser)

    return stage.run(log_in())
