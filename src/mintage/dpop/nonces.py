"""Nonces for proofs that nobody stores (RFC 9449 §8). Pure.

A nonce is the MAC of a step of time. All replicas that share the root secret make the same one, and
a client can't make a proof for a step that has not begun.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from mintage.crypto.base64url import encode_text

STEP: Final = 120  # seconds. A nonce is accepted in its own step and in the next one.
_BYTES: Final = 16


class Nonces:
    """The nonces of one server. *keys*: of 32 bytes; the first makes them, all accept them.

    *leeway*: how many seconds the clock of another replica may be ahead.
    """

    def __init__(self, keys: Sequence[bytes], *, step: int = STEP, leeway: int = 5) -> None:
        self._keys = tuple(keys)
        self._step = step
        self._leeway = leeway
        self._made: dict[int, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"Nonces(step={self._step})"

    def current(self, now: float) -> str:
        """The nonce for the next proof of a client."""
        return self._at(int(now // self._step))[0]

    def accepts(self, nonce: str | None, now: float) -> bool:
        """Whether *nonce* is that of this step, of the one before, or of one just beginning."""
        latest = int((now + self._leeway) // self._step)
        earliest = int(now // self._step) - 1
        known = (self._at(step) for step in range(latest, earliest - 1, -1))
        return nonce is not None and any(nonce in nonces for nonces in known)

    def _at(self, step: int) -> tuple[str, ...]:
        made = self._made.get(step)
        if made is None:
            message = b"dpop nonce\0" + step.to_bytes(8, "big")
            made = tuple(
                encode_text(hmac.digest(key, message, "sha256")[:_BYTES]) for key in self._keys
            )
            self._made = {old: kept for old, kept in self._made.items() if abs(old - step) <= 2}  # noqa: PLR2004
            self._made[step] = made
        return made
