"""How long what was fetched is fresh (RFC 9111). No clock, no I/O."""

import re
from typing import Final

# Nineteen digits are more seconds than anything lasts; what is longer still is no number.
_MAX_AGE: Final = re.compile(
    r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,19})\"?(?![\w.])", re.ASCII | re.IGNORECASE
)
_NOT_KEPT: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?![\w-])", re.ASCII | re.IGNORECASE)


def freshness(cache_control: str, *, least: int, usual: int, most: int) -> int:
    """How many seconds an answer with this ``Cache-Control`` is fresh (RFC 9111 §5.2.2).

    Between *least* and *most* seconds; *usual* where the answer does not say. What must not be
    kept is kept for *least* all the same: the caller says how much asking it can bear.
    """
    if _NOT_KEPT.search(cache_control):
        return least
    said = _MAX_AGE.search(cache_control)
    return usual if said is None else min(max(int(said[1]), least), most)
