"""A cache of grants that counts what it finds."""

from mintage.grants.states import Active
from mintage.telemetry.metrics import CACHE_LOOKUPS
from mintage.telemetry.steps import Meter
from mintage.values import Clock
from mintage.vault.cache import DEFAULT_OUTAGE, DEFAULT_TTL, GrantCache


class CountedCache(GrantCache):
    """A `GrantCache` that tells *meter* of hits, and of loads from the store (misses)."""

    def __init__(
        self,
        meter: Meter,
        *,
        clock: Clock,
        ttl: float = DEFAULT_TTL,
        outage: float = DEFAULT_OUTAGE,
    ) -> None:
        super().__init__(clock=clock, ttl=ttl, outage=outage)
        self._hit = meter.adder(CACHE_LOOKUPS, "hit")
        self._miss = meter.adder(CACHE_LOOKUPS, "miss")

    def get(self, key: bytes) -> Active | None:
        found = GrantCache.get(self, key)
        if found is not None:
            self._hit(1)
        return found

    def ticket(self, key: bytes) -> object:
        self._miss(1)
        return super().ticket(key)
