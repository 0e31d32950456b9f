"""The places where several processes keep their numbers."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mintage.telemetry.cells import Cells, Snapshot
from mintage.telemetry.metrics import CACHE_LOOKUPS, OPEN_STREAMS, REQUEST_SECONDS
from mintage.telemetry.shared import Place, SharedCells

LABELS = ("token", "", "2xx")


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def counted(number: int) -> Snapshot:
    cells = Cells()
    cells.add(CACHE_LOOKUPS, number, "hit")
    return cells.snapshot()


def test_what_was_written_last_is_read(place: Place) -> None:
    assert place.read() is None
    for number in range(1, 5):
        place.write(counted(number))
        assert place.read() == counted(number)


@pytest.mark.parametrize("cut", [0, 5, 15, 30])
def test_a_writer_that_was_killed_while_it_wrote_leaves_what_it_wrote_before(
    place: Place, cut: int
) -> None:
    """One file is never touched while the other is written."""
    for number in (1, 2, 3):
        place.write(counted(number))
    newest = place._files[3 % 2]
    os.pwrite(newest, b"\xff" * 3, cut)
    assert place.read() == counted(2)
    place.write(counted(4))
    assert place.read() == counted(4)


async def test_a_successor_continues_counts_and_not_gauges(place: Place) -> None:
    former = SharedCells(place)
    former.cells.add(CACHE_LOOKUPS, 3, "hit")
    former.cells.add(OPEN_STREAMS, 1, "/mcp")
    former.cells.time(REQUEST_SECONDS, 0.02, *LABELS)
    former.write()
    successor = SharedCells(place)
    successor.cells.add(CACHE_LOOKUPS, 1, "hit")
    successor.cells.time(REQUEST_SECONDS, 0.02, *LABELS)
    successor.write()
    found = place.read()
    assert found is not None
    assert dict(found.counts) == {("mintage_cache_lookups_total", ("hit",)): 4}
    assert found.levels == []
    [(_, times)] = found.times
    assert sum(times.buckets) == 2
    assert times.seconds == pytest.approx(0.04)
