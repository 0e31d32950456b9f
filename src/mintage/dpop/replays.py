"""Remembers proofs, so that this process accepts none of them twice (RFC 9449 §11.1). Pure.

Each process remembers its own. Behind several, a proof that was overheard works once at each of
them, for the same method, URI and token, until it is too old.
"""

from collections import OrderedDict
from typing import Final

from mintage.dpop.proofs import Proof

MOST: Final = 50_000


class Replays:
    """The proofs that were used, until they are too old; at most *most* of them.

    Only proofs with a valid token are remembered, so a stranger can't make it forget others.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_first(self, proof: Proof, *, now: float) -> bool:
        """Remember *proof*. Returns whether it was not remembered before."""
        used, name = self._used, (proof.thumbprint, proof.jti)
        if used.get(name, now) > now:
            return False
        used[name] = proof.too_old_at
        used.move_to_end(name)
        while used:
            oldest = next(iter(used))
            if used[oldest] > now and len(used) <= self._most:
                break
            del used[oldest]
        return True
