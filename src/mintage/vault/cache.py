"""Open grants in memory, for a bounded time, dropped as soon as somebody changes them."""

from collections import OrderedDict
from typing import Final

from mintage.grant import Active
from mintage.values import Clock

DEFAULT_SIZE: Final = 10_000
DEFAULT_TTL: Final = 5.0


class GrantCache:
    """Least recently used out first. *ttl* (seconds) is the hard bound on staleness.

    A load that was under way while its grant changed must not put back what it saw:
    a reader takes a `ticket` first, and `put` ignores one that `drop` has voided.
    """

    def __init__(self, *, clock: Clock, size: int = DEFAULT_SIZE, ttl: float = DEFAULT_TTL) -> None:
        self._clock = clock
        self._size = size
        self._ttl = ttl
        self._grants: OrderedDict[bytes, tuple[Active, float]] = OrderedDict()
        self._tickets: dict[bytes, object] = {}

    def get(self, key: bytes) -> Active | None:
        found = self._grants.get(key)
        if found is None:
            return None
        grant, fresh_until = found
        if self._clock() >= fresh_until:
            del self._grants[key]
            return None
        self._grants.move_to_end(key)
        return grant

    def ticket(self, key: bytes) -> object:
        """Taken before a load; good until the grant under *key* changes."""
        ticket = object()
        self._tickets[key] = ticket
        return ticket

    def put(self, key: bytes, grant: Active | None, ticket: object) -> None:
        """Keep *grant*, unless it changed since *ticket* was taken. None: nothing to keep."""
        if self._tickets.get(key) is not ticket:
            return
        del self._tickets[key]
        if grant is None or self._ttl <= 0:
            return
        self._grants[key] = (grant, self._clock() + self._ttl)
        if len(self._grants) > self._size:
            self._grants.popitem(last=False)

    def drop(self, key: bytes) -> None:
        self._grants.pop(key, None)
        self._tickets.pop(key, None)

    def clear(self) -> None:
        self._grants.clear()
        self._tickets.clear()
