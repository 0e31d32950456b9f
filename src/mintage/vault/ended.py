"""Grants that this process knows to be over: nothing makes one live again.

A record that is live where an ended one was is an older one that was put back: by a person who
can write to the store, or from a backup while servers run. The memory is bounded and is that
of one process, so this notices; it does not promise.
"""

from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory

_MOST: Final = 10_000


class Ended:
    def __init__(self) -> None:
        self._keys: BoundedMemory[bytes, None] = BoundedMemory(_MOST)

    def remember(self, key: bytes) -> None:
        """The grant under *key* is over."""
        self._keys[key] = None

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys
