"""How long a fetched document is fresh (RFC 9111). No clock, no I/O."""

import re
from typing import Final

# Nineteen digits are more seconds than anything lasts; what is longer still is no number.
_MAX_AGE: Final = re.compile(
    r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,19})\"?(?![\w.])", re.ASCII | re.IGNORECASE
)
_NOT_KEPT: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?![\w-])", re.ASCII | re.IGNORECASE)


def freshness(cache_control: str, *, least: int, usual: int, most: int) -> int:
    """How many seconds an answer with this ``Cache-Control`` is fresh (RFC 9111 §5.2.2).

    The result is between *least* and *most*; *usual* if the header does not say. An answer that
    must not be cached is fresh for *least* all the same: the caller decides how often to ask.
    """
    if _NOT_KEPT.search(cache_control):
        return least
    said = _MAX_AGE.search(cache_control)
    return usual if said is None else min(max(int(said[1]), least), most)
