"""Opens a server: makes each part once, with what it needs."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mintage.app.browsers import browser_door
from mintage.app.chores import beside, forever, ready_for_keys, reviewing
from mintage.app.client_denials import PAUSE
from mintage.app.core import Core, open_core
from mintage.app.gateway import open_gateway
from mintage.app.kept import hold_trusted, join
from mintage.app.lasting import Lasting
from mintage.app.requests import Requests
from mintage.app.router import Router
from mintage.app.routes import all_routes, page_paths
from mintage.app.running import Running
from mintage.app.secret_needs import SecretNeeds
from mintage.endpoints import VERIFY
from mintage.errors import StoreUnavailable
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.gateway.kept_answers import keeping
from mintage.gateway.peers import Peers, read_networks
from mintage.settings.limits import DEFAULT_REQUESTS_PER_USER
from mintage.settings.load import Config
from mintage.telemetry.requests import Places
from mintage.web.edge import Handler

log = logging.getLogger("mintage")


@asynccontextmanager
async def open_server(config: Config, lasting: Lasting) -> AsyncIterator[Running]:
    """The server that *config* describes, open for the length of the block.

    It shares *lasting*, and the parts whose settings are the same, with those before and after it.
    """
    async with AsyncExitStack() as stack:
        await join(config, lasting, stack)
        core = await open_core(config, lasting, stack)
        browsers = browser_door(
            config,
            core.site,
            core.pages,
            vault=core.vault,
            bearer=core.bearer,
            random_bytes=core.random_bytes,
        )
        gateway = await open_gateway(
            config,
            core.site,
            bearer=core.bearer,
            vault=core.vault,
            lasting=lasting,
            page=core.about.resource,
            stack=stack,
            browsers=browsers,
        )
        gateway = lasting.telemetry.gateway(gateway)
        trusted = await hold_trusted(config, lasting, stack)
        router = _router(core, gateway, all_routes(core, gateway, browsers, trusted))
        await _start_chores(core, stack)
        yield _running(core, gateway, router)


def _router(core: Core, gateway: Gateway, endpoints: dict[str, Handler]) -> Router:
    peers = Peers(read_networks(core.config.gateway.trusted_proxies))
    forward_auth = _forward_auth(core.config, gateway, peers, core.site.base_path)
    return Router(
        endpoints=endpoints,
        pages=page_paths(core.site),
        gateway=gateway,
        peers=peers,
        forward_auth=forward_auth,
        about=core.about,
        requests=Requests(peers=peers, random_bytes=core.random_bytes, emit=core.emit),
        random_bytes=core.random_bytes,
        tally_of=core.lasting.telemetry.tally_of(
            Places.at(endpoints, core.site.base_path, gateway, forward_auth)
        ),
    )


async def _start_chores(core: Core, stack: AsyncExitStack) -> None:
    """What a server does beside its requests, until *stack* ends it."""
    if core.lasting.shared:
        await _enter_secrets(core.secret_needs)
        reviews = reviewing(core.secret_needs, core.lasting.clock)
        await stack.enter_async_context(beside(reviews))
    await core.denials.start()
    await stack.enter_async_context(
        beside(forever("denied clients", core.denials.follow, pause=PAUSE), ready_for_keys())
    )


def _running(core: Core, gateway: Gateway, router: Router) -> Running:
    telemetry = core.lasting.telemetry
    return Running(
        site=core.site,
        store=core.lasting.store,
        vault=core.vault,
        tokens=core.tokens,
        bearer=core.bearer,
        upstreams=core.upstreams,
        others=core.others,
        revoker=core.revoker,
        secret_needs=core.secret_needs,
        events=core.emit,
        gateway=gateway,
        router=router,
        telemetry=telemetry,
        entry=telemetry.router(
            router,
            Places.at(router.endpoints, core.site.base_path, gateway, router.forward_auth),
        ),
        client_denials=core.denials,
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
