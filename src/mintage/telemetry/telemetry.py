"""What an application reports, and to whom. Without anybody to tell, nothing is wrapped."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import ASGIApp, Scope

from mintage.events.listeners import Listeners
from mintage.gateway.gateway import Gateway
from mintage.gateway.proxy import Ask, ask
from mintage.site.resource import Resource
from mintage.stores.protocol import Store
from mintage.telemetry.backends import BackendTally
from mintage.telemetry.grant_count import keep_counting
from mintage.telemetry.metrics import CACHE_LOOKUPS
from mintage.telemetry.providers import MeasuredClient, MeasuredTransport
from mintage.telemetry.requests import Place, PlaceOf, Places, RequestTally
from mintage.telemetry.samples import Sampler
from mintage.telemetry.security import SecurityCounters
from mintage.telemetry.steps import Meter, Probe, Tracer
from mintage.telemetry.stores import MeasuredStore
from mintage.telemetry.traces import TracedGuard, TracedRequests, TracedRouter
from mintage.upstream.protocol import Transport, UpstreamClient
from mintage.values import Clock
from mintage.vault.cache import GrantCache
from mintage.vault.vault import Vault
from mintage.web.current_request import RESOURCE


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Wraps the parts of an application, if there is a *meter* or a *tracer*.

    *counts_grants*: whether this process counts the grants in the store; one of several is enough.
    """

    meter: Meter | None = None
    tracer: Tracer | None = None
    counts_grants: bool = True
    _tallies: dict[Place, RequestTally] = field(default_factory=dict, init=False, repr=False)
    _of_backends: dict[str, BackendTally] = field(default_factory=dict, init=False, repr=False)

    @property
    def is_on(self) -> bool:
        return self.meter is not None or self.tracer is not None

    @property
    def probe(self) -> Probe:
        return Probe(self.meter, self.tracer)

    def store(self, store: Store) -> Store:
        return MeasuredStore(store, self.probe) if self.is_on else store

    def client(self, client: UpstreamClient, name: str) -> UpstreamClient:
        """*name*: the provider's."""
        return MeasuredClient(client, name, self.probe) if self.is_on else client

    def transport(self, transport: Transport, name: str) -> Transport:
        """*name*: the provider's."""
        return MeasuredTransport(transport, name, self.probe) if self.is_on else transport

    def cache(self, *, clock: Clock, ttl: float, outage: float) -> GrantCache:
        hit = miss = None
        if self.meter is not None:
            hit, miss = (self.meter.adder(CACHE_LOOKUPS, result) for result in ("hit", "miss"))
        return GrantCache(clock=clock, ttl=ttl, outage=outage, hit=hit, miss=miss)

    def ask(self) -> Ask:
        return ask if self.tracer is None else TracedRequests(ask, self.probe)

    def of_backend(self, resource: Resource) -> BackendTally | None:
        """Who counts the requests to the backend of *resource*."""
        if self.meter is None:
            return None
        if (found := self._of_backends.get(resource.path)) is None:
            found = self._of_backends[resource.path] = BackendTally.at(resource.path, self.meter)
        return found

    def gateway(self, gateway: Gateway) -> Gateway:
        if self.tracer is None:
            return gateway
        return replace(gateway, guard=TracedGuard.of(gateway.guard, self.probe))

    def tally_of(self, places: Places) -> Callable[[Scope], RequestTally | None] | None:
        """Who counts a request to one of *places*; None if nobody counts any."""
        return None if self.meter is None else lambda scope: self.tally(places.of(scope))

    def of_resource(self, path: str) -> RequestTally | None:
        """Who counts a request to the resource at *path*, which another application serves."""
        return self.tally((RESOURCE, path))

    def tally(self, place: Place) -> RequestTally | None:
        """Who counts the requests to *place*."""
        if self.meter is None:
            return None
        if (found := self._tallies.get(place)) is None:
            found = self._tallies[place] = RequestTally.at(place, self.meter)
        return found

    def router(self, router: ASGIApp, places: Places) -> ASGIApp:
        """*router*, for requests to *places*."""
        return self._around(router, places.of)

    def around(self, app: ASGIApp, resource: str) -> ASGIApp:
        """*app*, for a request to *resource*, which the application around Mintage serves."""
        return self._around(app, lambda _: (RESOURCE, resource))

    def _around(self, app: ASGIApp, place_of: PlaceOf) -> ASGIApp:
        return app if self.tracer is None else TracedRouter(app, place_of, self.probe)

    def listen(self, events: Listeners) -> None:
        """Count the security events."""
        if self.meter is not None:
            events.attach(SecurityCounters(self.meter))

    def chores(
        self, store: Store, vault: Vault, gateway: Gateway
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs beside the server."""
        if self.meter is not None:
            yield Sampler(self.meter, vault, gateway).run()
            if self.counts_grants:
                yield keep_counting(store, self.meter)


OFF = Telemetry()
"""Reports to nobody."""
