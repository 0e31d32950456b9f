"""Opens a server: makes each part once, with what it needs."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mintage.app.auditing import notes_of
from mintage.app.browsers import browser_door
from mintage.app.chores import beside, forever, reviewing
from mintage.app.client_denials import PAUSE, open_denials
from mintage.app.devices import device_routes
from mintage.app.dpop import possession_of, proofs_of
from mintage.app.gateway import open_gateway
from mintage.app.grant_types import grant_types
from mintage.app.kept import hold_published, hold_trusted, hold_upstream, hold_vault, join
from mintage.app.lasting import Lasting
from mintage.app.limits import Limits
from mintage.app.opening import access_keys, tokens_of
from mintage.app.pushed_requests import pushed_request_routes
from mintage.app.requests import Requests
from mintage.app.router import Router
from mintage.app.routes import (
    document_routes,
    health_routes,
    logout_routes,
    page_paths,
    page_routes,
    registration_routes,
    status_routes,
    token_routes,
)
from mintage.app.running import Running
from mintage.app.secret_needs import SecretNeeds, register_of
from mintage.clients.authentication import Authenticator
from mintage.clients.directory import Directory
from mintage.clients.registration import ClientIds
from mintage.crypto.derivation import purpose_keys
from mintage.endpoints import VERIFY
from mintage.errors import StoreUnavailable
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.gateway.kept_answers import keeping
from mintage.gateway.peers import Peers, read_networks
from mintage.resource.bearer import Bearer
from mintage.server.about import About
from mintage.server.pages import Pages
from mintage.settings.limits import DEFAULT_REQUESTS_PER_USER
from mintage.settings.load import Config
from mintage.upstream.registry import Upstreams

log = logging.getLogger("mintage")


@asynccontextmanager
async def open_server(config: Config, lasting: Lasting) -> AsyncIterator[Running]:
    """The server that *config* describes, open for the length of the block.

    It shares *lasting*, and the parts whose settings are the same, with those before and after it.
    """
    store, clock, steady, site = lasting.store, lasting.clock, lasting.steady, config.site
    random_bytes, emit, revoker = lasting.random_bytes, lasting.emit, lasting.revoker
    async with AsyncExitStack() as stack:
        await join(config, lasting, stack)
        upstreams = Upstreams(
            [(each, await hold_upstream(each, lasting, stack)) for each in config.upstreams],
            reserved=frozenset(each.name for each in config.trusted_issuers),
        )
        others = {
            (each.issuer, each.client_id): await hold_upstream(each, lasting, stack)
            for each in config.others
        }
        stack.push_async_callback(revoker.drain)
        published = await hold_published(config, lasting, stack)
        vault = await hold_vault(config, lasting, stack)
        stack.push_async_callback(vault.settle)  # a renewal under way may use a provider of here
        tokens, ring = tokens_of(config, clock), access_keys(config)
        client_ids = ClientIds(*purpose_keys(config.secrets, "client-id"))
        denials = open_denials(
            config, vault, store, client_ids, clock=clock, random_bytes=random_bytes, emit=emit
        )
        proofs = proofs_of(config)
        possession = await possession_of(config, proofs, lasting, stack)
        bearer = Bearer(tokens, vault, clock, possession, site.hierarchy, denials.denied.covers)
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
        gateway = lasting.telemetry.gateway(
            await open_gateway(
                config,
                site,
                bearer=bearer,
                vault=vault,
                lasting=lasting,
                page=about.resource,
                stack=stack,
                browsers=browsers,
            )
        )
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
        endpoints |= device_routes(
            config,
            site,
            pages,
            endpoints,
            authenticate=authenticate,
            upstreams=upstreams,
            vault=vault,
            check_client=denials.denied.check_id,
            revoker=revoker,
            limits=Limits(config.limits, steady),
            clock=clock,
            random_bytes=random_bytes,
            emit=emit,
        )
        endpoints |= token_routes(
            site,
            config.clients,
            grant_types(
                config,
                site,
                vault=vault,
                tokens=tokens,
                limits=Limits(config.limits, steady),
                clock=clock,
                steady=steady,
                random_bytes=random_bytes,
                trusted=await hold_trusted(config, lasting, stack),
                denied=denials.denied.covers,
                provider_of=lasting.providers.name_of,
                emit=emit,
            ),
            authenticate=authenticate,
            vault=vault,
            tokens=tokens,
            denied=denials.denied.covers,
            ring=ring,
            addresses=config.account.addresses,
            proofs=proofs,
            clock=clock,
            random_bytes=random_bytes,
        )
        endpoints |= pushed_request_routes(
            config,
            site,
            upstreams,
            authenticate=authenticate,
            proofs=proofs,
            limits=Limits(config.limits, steady),
            clock=clock,
            random_bytes=random_bytes,
        )
        endpoints |= status_routes(config, site, vault, ring, random_bytes)
        endpoints |= logout_routes(upstreams, vault, clock, random_bytes)
        endpoints |= health_routes(
            store, upstreams, clock.machine, random_bytes, lambda: notes_of(lasting.auditor)
        )
        if config.registration.enabled:
            endpoints |= registration_routes(
                config,
                client_ids,
                denials.denied,
                Limits(config.limits, steady),
                clock,
                random_bytes,
                emit,
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
        if lasting.shared:
            await _enter_secrets(secret_needs)
            await stack.enter_async_context(beside(reviewing(secret_needs, clock)))
        await denials.start()
        await stack.enter_async_context(
            beside(forever("denied clients", denials.follow, pause=PAUSE))
        )
        yield Running(
            site=site,
            store=store,
            vault=vault,
            tokens=tokens,
            bearer=bearer,
            upstreams=upstreams,
            others=others,
            revoker=revoker,
            secret_needs=secret_needs,
            events=emit,
            gateway=gateway,
            router=router,
            telemetry=lasting.telemetry,
            entry=lasting.telemetry.router(
                router,
                paths=by_path,
                base_path=site.base_path,
                gateway=gateway,
                forward_auth=forward_auth,
            ),
            client_denials=denials,
        )


def _forward_auth(
    config: Config, gateway: Gateway, peers: Peers, base_path: str
) -> ForwardAuth | None:
    asker = config.gateway.forward_auth
    if asker is None:
        return None
    allowed = keeping(
        most=config.gateway.kept_answer_seconds,
        fresh_for=config.grants.cache_seconds,
        counts=0 < config.limits.requests_per_user < DEFAULT_REQUESTS_PER_USER,
    )
    return ForwardAuth(gateway, peers, asker, f"{base_path}/{VERIFY.name}", allowed)


async def _enter_secrets(secret_needs: SecretNeeds) -> None:
    """Enter this server's secrets in the register, before a client registers under them."""
    try:
        await secret_needs.register.note()
    except StoreUnavailable as error:
        log.warning("secrets: %s; entered later", error)
