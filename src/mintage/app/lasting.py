"""What a server keeps through every reload: its store, its clocks, its listeners, and its parts."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from mintage.app.auditing import attach_audit
from mintage.app.clocks import Clocks, StoreClock
from mintage.app.parts import Parts
from mintage.app.providers import Providers
from mintage.app.store_watch import greet
from mintage.audit.auditor import Auditor
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import AcceptClient
from mintage.errors import StoreUnavailable
from mintage.events.lines import log_event
from mintage.events.listeners import Listeners
from mintage.network.proxies import Proxies
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.stores import copying
from mintage.stores.alone import alone
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.telemetry.telemetry import OFF, Telemetry
from mintage.values import Clock, RandomBytes
from mintage.web.current_request import current_origin


class Lasting(msgspec.Struct, frozen=True, kw_only=True):
    """*shared*: whether other servers can use the store too. *clock* follows its clock."""

    store: Store
    shared: bool
    clock: StoreClock
    clocks: Clocks
    random_bytes: RandomBytes
    fetch: GuardedFetch
    accept_client: AcceptClient | None
    providers: Providers
    revoker: UpstreamRevoker
    emit: Listeners
    telemetry: Telemetry
    auditor: Auditor | None
    parts: Parts

    @property
    def steady(self) -> Clock:
        """A clock that cannot be set."""
        return self.clocks.steady


@asynccontextmanager
async def open_lasting(
    config: Config,
    *,
    clocks: Clocks,
    random_bytes: RandomBytes,
    fetch: GuardedFetch | None = None,
    accept_client: AcceptClient | None = None,
    telemetry: Telemetry = OFF,
) -> AsyncIterator[Lasting]:
    """What *config* asks for and no later one can change, open for the length of the block."""
    clock = StoreClock(clocks)
    async with AsyncExitStack() as stack:
        store = telemetry.store(await _store(config, clock, stack))
        if fetch is None:
            fetch = GuardedFetch(proxies=Proxies.of(os.environ))
            stack.callback(fetch.close)
        providers = Providers(clock)
        emit = Listeners(current_origin, providers.name_of)
        emit.attach(log_event)
        auditor = attach_audit(config, emit, clock=clock, random_bytes=random_bytes, stack=stack)
        telemetry.listen(emit)
        yield Lasting(
            store=store,
            shared=config.store != "memory://",
            clock=clock,
            clocks=clocks,
            random_bytes=random_bytes,
            fetch=fetch,
            accept_client=accept_client,
            providers=providers,
            revoker=UpstreamRevoker(providers.revoke),
            emit=emit,
            telemetry=telemetry,
            auditor=auditor,
            parts=Parts(),
        )


async def _store(config: Config, clock: StoreClock, stack: AsyncExitStack) -> Store:
    """The store, which *clock* follows; *stack* closes it."""
    store = await open_store(config.store, clock=clock)
    stack.push_async_callback(store.close)
    with suppress(StoreUnavailable):  # it is asked again every half minute
        await clock.follow(store)
    if config.store == "memory://":
        stack.enter_context(alone(config.issuer))
    else:  # no other process can reach that one
        await copying.end(store)
    await greet(store)
    return store
