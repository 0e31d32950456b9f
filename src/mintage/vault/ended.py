"""Remembers grants that have ended, so that none of them becomes live again.

If a record is live although its grant has ended, an old record was restored: by a person who can
write to the store, or from a backup while servers run. The memory is limited and belongs to one
process, so this is no guarantee.
"""

from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory

_MOST: Final = 10_000


class Ended:
    def __init__(self) -> None:
        self._keys: BoundedMemory[bytes, None] = BoundedMemory(_MOST)

    def remember(self, key: bytes) -> None:
        """The grant under *key* has ended."""
        self._keys[key] = None

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys
