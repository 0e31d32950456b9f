"""Opens the parts of a server that a reload keeps while their own settings stay the same.

The gateway's are in `app.gateway`.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from mintage.app.chores import CLOCK_SECONDS, SWEEP_SECONDS, beside, forever
from mintage.app.lasting import Lasting
from mintage.app.opening import open_vault, vault_keys
from mintage.app.store_watch import sweep
from mintage.clients.published import Published
from mintage.settings.load import Config
from mintage.trust.issuer import TrustedIssuer
from mintage.trust.keys import IssuerKeys
from mintage.upstream.opening import open_upstream
from mintage.upstream.protocol import UpstreamClient
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream
from mintage.vault import installation
from mintage.vault.settings import ProviderCalls
from mintage.vault.vault import Vault

log = logging.getLogger("mintage")


async def join(config: Config, lasting: Lasting, stack: AsyncExitStack) -> None:
    """Join the store's installation, and look after the store."""
    ids = [keys.id for keys in vault_keys(config.secrets)]
    store, clock = lasting.store, lasting.clock

    @asynccontextmanager
    async def joined() -> AsyncIterator[None]:
        if lasting.shared:  # no other process can reach the other kind
            await installation.join(store, config.issuer, ids, lasting.random_bytes)
        yield

    def looked_after() -> AbstractAsyncContextManager[None]:
        return beside(
            forever("sweep", partial(sweep, store, clock), pause=SWEEP_SECONDS),
            forever("clock", partial(clock.follow, store), pause=CLOCK_SECONDS),
        )

    await stack.enter_async_context(lasting.parts.held(("installation", ids), joined))
    await stack.enter_async_context(lasting.parts.held(("chores",), looked_after))


async def hold_upstream(
    upstream: Upstream, lasting: Lasting, stack: AsyncExitStack
) -> UpstreamClient:
    """The client of *upstream*, with what it has learnt of the provider."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[UpstreamClient]:
        clocks, telemetry = lasting.clocks, lasting.telemetry
        transport = telemetry.transport(HttpTransport(), upstream.name)
        client = telemetry.client(
            open_upstream(upstream, transport, clocks.now, clocks.steady), upstream.name
        )
        try:
            yield client
        finally:
            await client.close()

    return await stack.enter_async_context(lasting.parts.held(("upstream", upstream), opened))


async def hold_trusted(
    config: Config, lasting: Lasting, stack: AsyncExitStack
) -> dict[str, tuple[TrustedIssuer, IssuerKeys]]:
    """The issuers whose assertions are accepted, by their URLs, and the keys that are known."""
    found = {}
    for issuer in config.trusted_issuers:
        opened = partial(_trusted_keys, issuer, lasting)
        keys = await stack.enter_async_context(
            lasting.parts.held(("trusted issuer", issuer.keys_from), opened)
        )
        found[issuer.issuer] = issuer, keys
    return found


@asynccontextmanager
async def _trusted_keys(issuer: TrustedIssuer, lasting: Lasting) -> AsyncIterator[IssuerKeys]:
    transport = lasting.telemetry.transport(HttpTransport(), issuer.name)
    keys = IssuerKeys(issuer, transport, lasting.steady)
    try:
        yield keys
    finally:
        await keys.close()


async def hold_published(config: Config, lasting: Lasting, stack: AsyncExitStack) -> Published:
    """What clients publish."""
    policy = config.documents

    @asynccontextmanager
    async def opened() -> AsyncIterator[Published]:
        if policy.why_off:
            log.warning("no metadata documents are fetched: %s", policy.why_off)
        published = Published(
            lasting.fetch,
            policy=policy,
            clock=lasting.steady,
            accept=lasting.accept_client,
            emit=lasting.emit,
        )
        try:
            yield published
        finally:
            await published.drain()

    return await stack.enter_async_context(lasting.parts.held(("published", policy), opened))


async def hold_vault(config: Config, lasting: Lasting, stack: AsyncExitStack) -> Vault:
    """The vault, with the grants that it has in memory."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Vault]:
        vault = open_vault(
            config,
            lasting.store,
            clock=lasting.clock,
            steady=lasting.steady,
            random_bytes=lasting.random_bytes,
            calls=ProviderCalls(
                renew=lasting.providers.renew,
                ended=lasting.revoker,
                knows=lasting.providers.issued,
                admits=lasting.providers.admits,
            ),
            emit=lasting.emit,
            cache=lasting.telemetry.cache,
        )
        async with beside(forever("changes", vault.watch, pause=1)):
            try:
                yield vault
            finally:
                await vault.drain()

    settings = ("vault", config.secrets, config.lifetimes, config.grants, config.status_list)
    return await stack.enter_async_context(lasting.parts.held(settings, opened))
