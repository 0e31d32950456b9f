"""What an application reports, and to whom. Without anybody to tell, nothing is wrapped."""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import ASGIApp

from mintage.events.listeners import Listeners
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.gateway.proxy import Ask, ask
from mintage.stores.protocol import Store
from mintage.telemetry.backends import MeasuredRequests
from mintage.telemetry.caches import CountedCache
from mintage.telemetry.grant_count import keep_counting
from mintage.telemetry.providers import MeasuredClient, MeasuredTransport
from mintage.telemetry.requests import (
    MeasuredRouter,
    PlaceOf,
    Places,
    TimersByPlace,
    endpoint_names,
)
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
    _timers: TimersByPlace = field(default_factory=dict, init=False, repr=False)

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
        if self.meter is None:
            return GrantCache(clock=clock, ttl=ttl, outage=outage)
        return CountedCache(self.meter, clock=clock, ttl=ttl, outage=outage)

    def ask(self) -> Ask:
        measured = ask if self.meter is None else MeasuredRequests(self.meter)
        return measured if self.tracer is None else TracedRequests(measured, self.probe)

    def gateway(self, gateway: Gateway) -> Gateway:
        if self.tracer is None:
            return gateway
        return replace(gateway, guard=TracedGuard.of(gateway.guard, self.probe))

    def router(
        self,
        router: ASGIApp,
        *,
        paths: Mapping[str, object],
        base_path: str,
        gateway: Gateway,
        forward_auth: ForwardAuth | None,
    ) -> ASGIApp:
        """*paths*: those of the endpoints."""
        if not self.is_on:
            return router
        places = Places(
            names=endpoint_names(paths, base_path), gateway=gateway, forward_auth=forward_auth
        )
        return self._around(router, places.of)

    def around(self, app: ASGIApp, resource: str) -> ASGIApp:
        """*app*, for a request to *resource*, which the application around Mintage serves."""
        return self._around(app, lambda _: (RESOURCE, resource)) if self.is_on else app

    def _around(self, app: ASGIApp, place_of: PlaceOf) -> ASGIApp:
        if self.meter is not None:
            app = MeasuredRouter(app, place_of, self.meter, self._timers)
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
