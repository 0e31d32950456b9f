"""The open parts of a running server, from which its endpoints are made."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from mintage.app.clocks import Clocks, StoreClock
from mintage.app.opening import access_keys, open_vault, vault_keys
from mintage.app.secret_needs import SecretNeeds, register_of
from mintage.app.store_watch import greet
from mintage.clients.authentication import Authenticator
from mintage.clients.directory import Directory
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import AcceptClient
from mintage.clients.published import Published
from mintage.clients.registration import ClientIds
from mintage.crypto.derivation import purpose_keys
from mintage.errors import StoreUnavailable
from mintage.grant_tokens import Tokens
from mintage.grants.admission import admit_again
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.jwt.keyring import KeyRing
from mintage.network.proxies import Proxies
from mintage.resource.bearer import Bearer
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.site.site import Site
from mintage.stores import copying
from mintage.stores.alone import alone
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.upstream.opening import open_upstream
from mintage.upstream.registry import Upstreams
from mintage.upstream.transport import HttpTransport
from mintage.values import Clock, RandomBytes
from mintage.vault import installation
from mintage.vault.vault import Vault

log = logging.getLogger("mintage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is open while a server runs. Each part is made once."""

    config: Config
    clock: StoreClock
    steady: Clock
    random_bytes: RandomBytes
    site: Site
    store: Store
    upstreams: Upstreams
    revoker: UpstreamRevoker
    vault: Vault
    tokens: Tokens
    bearer: Bearer
    client_ids: ClientIds
    directory: Directory
    authenticate: Authenticator
    secret_needs: SecretNeeds


@asynccontextmanager
async def open_parts(
    config: Config,
    *,
    clocks: Clocks,
    random_bytes: RandomBytes,
    fetch: GuardedFetch | None = None,
    accept_client: AcceptClient | None = None,
) -> AsyncIterator[Parts]:
    """The parts that *config* describes, open for as long as the block lasts."""
    clock, steady = StoreClock(clocks), clocks.steady
    async with AsyncExitStack() as stack:
        store = await open_store(config.store, clock=clock)
        stack.push_async_callback(store.close)
        with suppress(StoreUnavailable):  # it is asked again every half minute
            await clock.follow(store)
        if config.store == "memory://":
            stack.enter_context(alone(config.issuer))
        else:  # nobody else can reach that one
            ids = [keys.id for keys in vault_keys(config.secrets)]
            await installation.join(store, config.issuer, ids, random_bytes)
            await copying.end(store)
        await greet(store)
        upstreams = Upstreams(
            [
                (each, open_upstream(each, HttpTransport(), clocks.now, steady))
                for each in config.upstreams
            ]
        )
        stack.push_async_callback(upstreams.close)
        if config.documents.why_off:
            log.warning("no metadata documents are fetched: %s", config.documents.why_off)
        if fetch is None:
            fetch = GuardedFetch(proxies=Proxies.of(os.environ))
            stack.callback(fetch.close)
        published = Published(fetch, policy=config.documents, clock=steady, accept=accept_client)
        stack.push_async_callback(published.drain)
        revoker = UpstreamRevoker(upstreams)
        stack.push_async_callback(revoker.drain)

        async def renew(old: UpstreamTokens, who: Identity) -> Renewed:
            judge = partial(admit_again, config.allow, who)  # may they still log in
            return await upstreams.refresh(old, now=int(clock()), judge=judge)

        vault = open_vault(
            config,
            store,
            clock=clock,
            steady=steady,
            random_bytes=random_bytes,
            renew=renew,
            ended=revoker,
            knows=upstreams.issued,
        )
        stack.push_async_callback(vault.drain)
        yield _parts(
            config, clock, steady, random_bytes, store, upstreams, revoker, vault, published
        )


def _parts(
    config: Config,
    clock: StoreClock,
    steady: Clock,
    random_bytes: RandomBytes,
    store: Store,
    upstreams: Upstreams,
    revoker: UpstreamRevoker,
    vault: Vault,
    published: Published,
) -> Parts:
    site = config.site
    tokens = Tokens(
        issuer=site.issuer,
        resources=[resource.identifier for resource in site.resources],
        keys=KeyRing.of_all(purpose_keys(config.secrets, "sign")),
        access_keys=access_keys(config),
        lifetimes=config.lifetimes,
        clock=clock,
    )
    client_ids = ClientIds(*purpose_keys(config.secrets, "client-id"))
    register = register_of(config, store, clock=clock, steady=steady)
    directory = Directory(
        client_ids,
        {client.client_id: client for client in config.clients},
        published if config.documents.enabled else None,
        register.check_client_key,
    )
    return Parts(
        config=config,
        clock=clock,
        steady=steady,
        random_bytes=random_bytes,
        site=site,
        store=store,
        upstreams=upstreams,
        revoker=revoker,
        vault=vault,
        tokens=tokens,
        bearer=Bearer(tokens, vault, clock, site.hierarchy),
        client_ids=client_ids,
        directory=directory,
        authenticate=Authenticator(
            directory=directory,
            published=published,
            issuer=site.issuer,
            claim=vault.claim,
            clock=clock,
        ),
        secret_needs=SecretNeeds(
            config=config, vault=vault, client_ids=client_ids, register=register
        ),
    )
