"""Caches decrypted grants for a limited time, and drops them when they change.

A grant is *fresh* for a few seconds: that is the upper limit for how late a revocation is noticed.
It is kept for longer as the *last known* one, for when the store can't be read.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.grants.states import Active, in_memory
from mintage.values import Clock
from mintage.vault.shared_parts import SharedParts
from mintage.vault.values import OpenGrant

DEFAULT_SIZE: Final = 10_000
DEFAULT_TTL: Final = 5.0
DEFAULT_OUTAGE: Final = 30.0


class GrantCache:
    """The least recently used one is dropped first. *ttl* and *outage* are in seconds.

    *outage*: how long a grant is still known after it was last fresh.

    *hit* and *miss* get a 1 for each grant that is found fresh, and that must be loaded.

    A load that was under way while its grant changed must not cache the old one. So a reader takes
    a `ticket` first, and `put` ignores one that `drop` has made void.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        size: int = DEFAULT_SIZE,
        ttl: float = DEFAULT_TTL,
        outage: float = DEFAULT_OUTAGE,
        hit: Callable[[int], None] | None = None,
        miss: Callable[[int], None] | None = None,
    ) -> None:
        self._clock = clock
        self._ttl = ttl
        self._outage = outage
        self._grants: BoundedMemory[bytes, _Known] = BoundedMemory(size)
        self._tickets: dict[bytes, object] = {}
        self._era = object()
        self._shared = SharedParts()
        self._hit = hit
        self._miss = miss

    @property
    def size(self) -> int:
        """How many grants are decrypted in it, fresh or not."""
        return len(self._grants)

    def get(self, key: bytes) -> Active | None:
        """The grant under *key*, if it is fresh."""
        known = self._grants.get(key)
        if known is None or known.era is not self._era or self._clock() >= known.fresh_until:
            return None
        self._grants.move_to_end(key)
        if (hit := self._hit) is not None:
            hit(1)
        return known.grant

    def fresh_for(self, key: bytes) -> float:
        """For how many more seconds the grant under *key* is fresh; 0 if it is not."""
        known = self._grants.get(key)
        if known is None or known.era is not self._era:
            return 0.0
        return max(0.0, known.fresh_until - self._clock())

    def age(self, key: bytes) -> None:
        """The grant under *key* is no longer fresh, but still known."""
        known = self._grants.get(key)
        if known is not None:
            now = self._clock()
            self._grants[key] = replace(known, fresh_until=min(now, known.fresh_until))

    def last_known(self, key: bytes) -> Active | None:
        """The grant under *key* as it was a short time ago, if no change of it is known."""
        known = self._grants.get(key)
        if known is None:
            return None
        if self._clock() >= known.fresh_until + self._outage:
            del self._grants[key]
            return None
        return known.grant

    def secret_of(self, key: bytes) -> bytes | None:
        """The secret of the `last_known` grant, unless a change of it may have been missed."""
        known = self._grants.get(key)
        if known is None or known.era is not self._era or self.last_known(key) is None:
            return None
        return known.secret

    def ticket(self, key: bytes) -> object:
        """Take it before a load. It is valid until the grant under *key* changes."""
        if self._miss is not None:
            self._miss(1)
        ticket = object()
        self._tickets[key] = ticket
        return ticket

    def put(self, key: bytes, opened: OpenGrant, ticket: object) -> None:
        """Cache *opened*, without the provider's refresh token (see `in_memory`).

        Not if it changed since *ticket* was taken.
        """
        if not self.give_back(key, ticket) or self._ttl <= 0:
            return
        grant = opened.grant
        if grant.upstream is not None:
            grant = replace(grant, upstream=in_memory(grant.upstream))
        self._shared.share(grant)
        until = self._clock() + self._ttl
        self._grants[key] = _Known(grant, opened.secret, until, self._era)

    def give_back(self, key: bytes, ticket: object) -> bool:
        """Use up *ticket*. Returns whether it was valid."""
        if self._tickets.get(key) is not ticket:
            return False
        del self._tickets[key]
        return True

    def drop(self, key: bytes) -> None:
        """The grant under *key* has changed."""
        self._grants.pop(key, None)
        self._tickets.pop(key, None)

    def drop_unless(self, stays: Callable[[Active], bool]) -> None:
        """Drop each grant for which *stays* is False."""
        for key in [key for key, known in self._grants.items() if not stays(known.grant)]:
            self.drop(key)

    def doubt(self) -> None:
        """Anything may have changed: nothing is fresh any more."""
        self._era = object()
        self._tickets.clear()


class _Known(msgspec.Struct, frozen=True, gc=False):
    grant: Active
    secret: bytes  # decrypts the record if an operator ends the grant, without a client's token
    fresh_until: float
    era: object
