"""How long to wait before asking again somebody who did not answer."""

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.05
MOST: Final = 1.0


def pause(
    failures: int, random_fraction: Callable[[], float], *, first: float = FIRST, most: float = MOST
) -> float:
    """Seconds to wait after *failures* failures in a row; *random_fraction* is in [0, 1).

    It doubles from *first* up to *most*, and half of it is left to chance: replicas that
    lost one server at one moment don't come back to it at one moment.
    """
    whole = min(most, first * (1 << min(failures, 30)))
    return whole * (1 + random_fraction()) / 2
