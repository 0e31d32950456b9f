"""Remembers grants that have ended, so that none of them becomes live again.

If a record is live although its grant has ended, an old record was restored: by a person who can
write to the store, or from a backup while servers run. The memory is limited and belongs to one
process, so this is no guarantee.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

from mintage.concurrency.bounded_memory import BoundedMemory

_MOST: Final = 10_000


class Ended:
    """The ended grants of a process. ``vault.ended`` is one."""

    def __init__(self) -> None:
        self._keys: BoundedMemory[bytes, None] = BoundedMemory(_MOST)
        self._elsewhere: BoundedMemory[bytes, None] = BoundedMemory(_MOST)
        self._made: list[MutableMapping[bytes, Any]] = []

    def remember(self, key: bytes) -> None:
        """This process ended the grant under *key*."""
        self._keys[key] = None
        self.clear(key)

    def notice(self, key: bytes) -> None:
        """The grant under *key* has ended, here or elsewhere."""
        self._elsewhere[key] = None
        self.clear(key)

    def has_ended(self, key: bytes) -> bool:
        """Whether the grant under *key* is known to have ended."""
        return key in self._keys or key in self._elsewhere

    @contextmanager
    def clearing(self, made: MutableMapping[bytes, Any]) -> Iterator[None]:
        """Meanwhile grants that end are removed from *made*, which has what was made from them."""
        self._made.append(made)
        try:
            yield
        finally:
            self._made = [one for one in self._made if one is not made]

    def must_clear(self, key: bytes) -> bool:
        """Whether something was made from the grant under *key*."""
        return any(key in made for made in self._made)

    def clear(self, key: bytes) -> None:
        """Forget what was made from the grant under *key*."""
        for made in self._made:
            made.pop(key, None)

    def clear_all(self) -> None:
        """Forget all that was made from grants: any of them may have ended."""
        for made in self._made:
            made.clear()

    def __contains__(self, key: bytes) -> bool:
        """Whether this process ended the grant under *key*."""
        return key in self._keys
