"""Pauses between attempts: they grow, they end, and they differ."""

import pytest

from mintage.concurrency.backoff import FIRST, MOST, pause


def test_it_doubles_up_to_a_limit() -> None:
    pauses = [pause(failures, lambda: 1.0) for failures in range(8)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("failures", [0, 3, 10, 10_000])
def test_half_of_it_is_left_to_chance(failures: int) -> None:
    shortest, longest = pause(failures, lambda: 0.0), pause(failures, lambda: 1.0)
    assert shortest == longest / 2
    assert FIRST / 2 <= shortest <= longest <= MOST


def test_its_bounds_can_be_chosen() -> None:
    assert pause(9, lambda: 1.0, first=0.001, most=0.1) == 0.1
