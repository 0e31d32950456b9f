"""The walks of docs/architecture.md are those that requests take."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.support.world import World

PAGE = (Path(__file__).parents[2] / "docs/architecture.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (A\w* [^\n]+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\d+\. `([\w.]+)`", re.MULTILINE)
WALKS = {found[1]: STEP.findall(found[2]) for found in SECTION.finditer(PAGE)}


@contextmanager
def followed() -> Iterator[list[str]]:
    """The functions of Mintage that are called meanwhile, in their order."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("mintage."):
            called.append(f"{module.removeprefix('mintage.')}.{frame.f_code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(before)


def missed(walk: str, called: list[str]) -> list[str]:
    """The steps of *walk* that were not taken, or not behind those before them."""
    rest = iter(called)
    return [step for step in WALKS[walk] if step not in rest]


def test_three_walks_are_written_down() -> None:
    assert [len(steps) > 5 for steps in WALKS.values()] == [True, True, True], WALKS


async def test_the_walks_are_as_they_are_written(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        with followed() as at_login:
            attempt, code = await client.log_in(browser)
    tokens = (await client.redeem(attempt, code)).json()
    with followed() as at_call:
        assert (await client.call(tokens["access_token"])).status_code == 200
    with followed() as at_refresh:
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200
    assert missed("A login", at_login) == []
    assert missed("An access token through the gateway", at_call) == []
    assert missed("A refresh", at_refresh) == []


def test_a_step_that_is_not_taken_is_found() -> None:
    steps = WALKS["A refresh"]
    assert missed("A refresh", [steps[0], *steps[2:]])[0] == steps[1]
