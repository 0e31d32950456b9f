"""Opens a server: makes each part once, with what it needs."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from mintage.app.auditing import attach_audit, notes_of
from mintage.app.browsers import browser_door
from mintage.app.chores import beside, chores, forever
from mintage.app.client_denials import PAUSE, open_denials
from mintage.app.clocks import Clocks, StoreClock
from mintage.app.gateway import open_gateway
from mintage.app.opening import access_keys, open_vault, tokens_of, vault_keys
from mintage.app.requests import Requests
from mintage.app.router import Router
from mintage.app.routes import (
    document_routes,
    health_routes,
    logout_routes,
    page_paths,
    page_routes,
    registration_routes,
    token_routes,
)
from mintage.app.running import Running
from mintage.app.secret_needs import SecretNeeds, register_of
from mintage.app.store_watch import greet
from mintage.clients.authentication import Authenticator
from mintage.clients.directory import Directory
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import AcceptClient
from mintage.clients.published import Published
from mintage.clients.registration import ClientIds
from mintage.crypto.derivation import purpose_keys
from mintage.endpoints import VERIFY
from mintage.errors import StoreUnavailable
from mintage.events.event import Emit
from mintage.events.lines import log_event
from mintage.events.listeners import Listeners
from mintage.events.operation import SettingsLoaded
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.gateway.peers import Peers, read_networks
from mintage.grants.admission import admit_again
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.network.proxies import Proxies
from mintage.resource.bearer import Bearer
from mintage.server.about import About
from mintage.server.pages import Pages
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.stores import copying
from mintage.stores.alone import alone
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.telemetry.telemetry import OFF, Telemetry
from mintage.upstream.opening import open_upstream
from mintage.upstream.protocol import Exchange, UpstreamClient
from mintage.upstream.registry import Upstreams
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream
from mintage.values import Clock, RandomBytes
from mintage.vault import installation
from mintage.web.current_request import current_origin

log = logging.getLogger("mintage")


@asynccontextmanager
async def open_server(
    config: Config,
    *,
    clocks: Clocks,
    random_bytes: RandomBytes,
    fetch: GuardedFetch | None = None,
    accept_client: AcceptClient | None = None,
    telemetry: Telemetry = OFF,
) -> AsyncIterator[Running]:
    """The server that *config* describes, open for the length of the block."""
    clock, steady, site = StoreClock(clocks), clocks.steady, config.site
    async with AsyncExitStack() as stack:
        store = telemetry.store(await _store(config, clock, random_bytes, stack))
        upstreams = Upstreams(
            [(each, _client(each, clocks, telemetry)) for each in config.upstreams]
        )
        stack.push_async_callback(upstreams.close)
        emit = Listeners(current_origin, upstreams.name_of)
        emit.attach(log_event)
        auditor = attach_audit(config, emit, clock=clock, random_bytes=random_bytes, stack=stack)
        telemetry.listen(emit)
        published = _published(config, fetch, accept_client, steady, stack, emit)
        revoker = UpstreamRevoker(upstreams)
        stack.push_async_callback(revoker.drain)

        async def renew(old: UpstreamTokens, who: Identity) -> Renewed:
            judge = partial(admit_again, config.allow, who)  # may they still log in
            return await upstreams.refresh(old, now=int(clock()), judge=judge)

        async def exchange(tokens: UpstreamTokens, wanted: Exchange) -> UpstreamTokens:
            return await upstreams.exchange(tokens, wanted, now=int(clock()))

        vault = open_vault(
            config,
            store,
            clock=clock,
            steady=steady,
            random_bytes=random_bytes,
            renew=renew,
            ended=revoker,
            knows=upstreams.issued,
            emit=emit,
            cache=telemetry.cache,
        )
        stack.push_async_callback(vault.drain)
        tokens, ring = tokens_of(config, clock), access_keys(config)
        client_ids = ClientIds(*purpose_keys(config.secrets, "client-id"))
        denials = open_denials(
            config, vault, store, client_ids, clock=clock, random_bytes=random_bytes, emit=emit
        )
        bearer = Bearer(tokens, vault, clock, site.hierarchy, denials.denied.covers)
        register = register_of(config, store, clock=clock, steady=steady)
        secret_needs = SecretNeeds(
            config=config, vault=vault, client_ids=client_ids, register=register
        )
        directory = Directory(
            client_ids,
            {client.client_id: client for client in config.clients},
            published if config.documents.enabled else None,
            register.check_client_key,
            denials.denied,
        )
        authenticate = Authenticator(
            directory=directory,
            published=published,
            issuer=site.issuer,
            claim=vault.claim,
            clock=clock,
        )
        pages = Pages(site, config.branding)
        about = About(site, pages)
        browsers = browser_door(
            config, site, pages, vault=vault, bearer=bearer, random_bytes=random_bytes
        )
        gateway = telemetry.gateway(
            open_gateway(
                config,
                site,
                bearer=bearer,
                vault=vault,
                exchange=exchange,
                clock=clock,
                steady=steady,
                random_bytes=random_bytes,
                page=about.resource,
                emit=emit,
                browsers=browsers,
                ask=telemetry.ask(),
            )
        )
        stack.push_async_callback(gateway.close)
        endpoints = page_routes(
            config,
            site,
            pages,
            directory=directory,
            upstreams=upstreams,
            vault=vault,
            revoker=revoker,
            clock=clock,
            random_bytes=random_bytes,
            emit=emit,
        )
        if browsers is not None:
            endpoints |= browsers.routes(
                endpoints,
                gateway,
                upstreams=upstreams,
                vault=vault,
                revoker=revoker,
                clock=clock,
                random_bytes=random_bytes,
                emit=emit,
            )
        endpoints |= token_routes(
            site,
            config.clients,
            authenticate=authenticate,
            vault=vault,
            tokens=tokens,
            addresses=config.account.addresses,
            random_bytes=random_bytes,
            emit=emit,
        )
        endpoints |= logout_routes(upstreams, vault, clock, random_bytes)
        endpoints |= health_routes(
            store, upstreams, clocks.now, random_bytes, lambda: notes_of(auditor)
        )
        if config.registration.enabled:
            endpoints |= registration_routes(
                config, client_ids, denials.denied, clock, random_bytes, emit
            )
        peers = Peers(read_networks(config.gateway.trusted_proxies))
        forward_auth = _forward_auth(config, gateway, peers, site.base_path)
        by_path = {
            f"{site.base_path}/{name}": each for name, each in endpoints.items()
        } | document_routes(config, site, about, ring, random_bytes)
        router = Router(
            endpoints=by_path,
            pages=page_paths(site),
            gateway=gateway,
            peers=peers,
            forward_auth=forward_auth,
            about=about,
            requests=Requests(peers=peers, random_bytes=random_bytes, emit=emit),
            random_bytes=random_bytes,
        )
        is_shared = config.store != "memory://"  # no other server can look into that one
        if is_shared:
            await _enter_secrets(secret_needs)
        await denials.start()
        await stack.enter_async_context(
            beside(
                *chores(store, vault, clock, secret_needs if is_shared else None),
                *telemetry.chores(store, vault, gateway),
                forever("denied clients", denials.follow, pause=PAUSE),
            )
        )
        emit(SettingsLoaded())
        yield Running(
            site=site,
            store=store,
            vault=vault,
            tokens=tokens,
            bearer=bearer,
            upstreams=upstreams,
            revoker=revoker,
            secret_needs=secret_needs,
            events=emit,
            gateway=gateway,
            router=router,
            telemetry=telemetry,
            entry=telemetry.router(
                router,
                paths=by_path,
                base_path=site.base_path,
                gateway=gateway,
                forward_auth=forward_auth,
            ),
            client_denials=denials,
        )


def _client(upstream: Upstream, clocks: Clocks, telemetry: Telemetry) -> UpstreamClient:
    transport = telemetry.transport(HttpTransport(), upstream.name)
    client = open_upstream(upstream, transport, clocks.now, clocks.steady)
    return telemetry.client(client, upstream.name)


async def _store(
    config: Config, clock: StoreClock, random_bytes: RandomBytes, stack: AsyncExitStack
) -> Store:
    """The store, which *clock* follows; *stack* closes it."""
    store = await open_store(config.store, clock=clock)
    stack.push_async_callback(store.close)
    with suppress(StoreUnavailable):  # it is asked again every half minute
        await clock.follow(store)
    if config.store == "memory://":
        stack.enter_context(alone(config.issuer))
    else:  # no other process can reach that one
        ids = [keys.id for keys in vault_keys(config.secrets)]
        await installation.join(store, config.issuer, ids, random_bytes)
        await copying.end(store)
    await greet(store)
    return store


def _published(
    config: Config,
    fetch: GuardedFetch | None,
    accept: AcceptClient | None,
    steady: Clock,
    stack: AsyncExitStack,
    emit: Emit,
) -> Published:
    """What clients publish; *stack* closes the HTTP client for it."""
    if config.documents.why_off:
        log.warning("no metadata documents are fetched: %s", config.documents.why_off)
    if fetch is None:
        fetch = GuardedFetch(proxies=Proxies.of(os.environ))
        stack.callback(fetch.close)
    published = Published(fetch, policy=config.documents, clock=steady, accept=accept, emit=emit)
    stack.push_async_callback(published.drain)
    return published


def _forward_auth(
    config: Config, gateway: Gateway, peers: Peers, base_path: str
) -> ForwardAuth | None:
    asker = config.gateway.forward_auth
    if asker is None:
        return None
    return ForwardAuth(gateway, peers, asker, f"{base_path}/{VERIFY.name}")


async def _enter_secrets(secret_needs: SecretNeeds) -> None:
    """Enter this server's secrets in the register, before a client registers under them."""
    try:
        await secret_needs.register.note()
    except StoreUnavailable as error:
        log.warning("secrets: %s; entered later", error)
