"""How long to wait before trying again to reach a server that did not answer."""

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.05
MOST: Final = 1.0


def pause(
    failures: int, random_fraction: Callable[[], float], *, first: float = FIRST, most: float = MOST
) -> float:
    """Seconds to wait after *failures* failures in a row; *random_fraction* is in [0, 1).

    It doubles from *first* up to *most*, and half of it is random. So replicas that lost a server
    at the same moment don't all contact it again at the same moment.
    """
    whole = min(most, first * (1 << min(failures, 30)))
    return whole * (1 + random_fraction()) / 2
