"""The gateway that a configuration describes: a backend for each resource, and the guard."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from mintage.app.browsers import BrowserDoor
from mintage.app.grant_types import subject_box
from mintage.app.lasting import Lasting
from mintage.app.limits import Limits
from mintage.app.parts import Parts
from mintage.errors import ConfigError
from mintage.gateway.access_guard import AccessGuard
from mintage.gateway.backend import Backend, Sessions
from mintage.gateway.credentials import BackendCredentials, IdentitySigner
from mintage.gateway.gateway import Gateway, PageAbout
from mintage.gateway.header_names import Passing
from mintage.gateway.http1.pool import Pool
from mintage.gateway.origins import Origins, origin_of
from mintage.gateway.proxy import Proxy
from mintage.resource.bearer import Bearer
from mintage.settings.load import Config
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.site.targets import Command, External, HttpTarget
from mintage.vault.vault import Vault


async def open_gateway(
    config: Config,
    site: Site,
    *,
    bearer: Bearer,
    vault: Vault,
    lasting: Lasting,
    page: PageAbout,
    stack: AsyncExitStack,
    browsers: BrowserDoor | None = None,
) -> Gateway:
    """The gateway of *config* on *site*. It opens no connection to a backend yet.

    *stack* closes what no other gateway uses. Raises `ConfigError` if a command needs an extra that
    is not installed.
    """
    random_bytes = lasting.random_bytes
    credentials = BackendCredentials(
        vault,
        lasting.clock,
        lasting.steady,
        lasting.providers.exchange,
        _signer(config, site, lasting),
        group_bytes=config.gateway.max_group_bytes,
        emit=lasting.emit,
    )
    stack.enter_context(vault.ended.clearing(credentials.exchanged))
    stack.enter_context(vault.ended.clearing(credentials.signed))
    origins = Origins(
        own=origin_of(config.issuer),
        allowed=frozenset(config.gateway.allowed_origins),
        let_any_web_page_call=config.gateway.let_any_web_page_call,
    )
    return Gateway(
        {
            resource.request_path: await _backend(resource, lasting.parts, stack)
            for resource in site.resources
        },
        Proxy(credentials, lasting.telemetry.ask(), lasting.telemetry.of_backend),
        AccessGuard(
            site,
            bearer,
            origins,
            random_bytes,
            None if browsers is None else browsers.sessions,
            Limits(config.limits, lasting.steady).requests.check,
        ),
        page,
        None if browsers is None else browsers.answers,
    )


def _signer(config: Config, site: Site, lasting: Lasting) -> IdentitySigner | None:
    if not config.signing_keys:
        return None
    rules = (client.exchanging for client in config.clients)
    return IdentitySigner(
        site.issuer,
        config.signing_keys[0],
        lasting.clock,
        lasting.random_bytes,
        subject_box(config, lasting.random_bytes),
        frozenset(each.resource for each in rules if each is not None),
    )


async def _backend(resource: Resource, parts: Parts, stack: AsyncExitStack) -> Backend:
    match resource.target:
        case HttpTarget() as target:
            passing = Passing(target.drop_headers, target.pass_headers)
            pool = await stack.enter_async_context(_pool(resource, target, parts))
            return Backend(resource=resource, pool=pool, passing=passing)
        case Command() as command:
            sessions = await stack.enter_async_context(_sessions(resource, command, parts))
            return Backend(resource=resource, sessions=sessions)
        case External():
            return Backend(resource=resource)


def _pool(
    resource: Resource, target: HttpTarget, parts: Parts
) -> AbstractAsyncContextManager[Pool]:
    """The connections to *target*. Those with TLS are new: its certificates may have changed."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Pool]:
        pool = Pool(target)
        try:
            yield pool
        finally:
            pool.close()

    certificates = object() if target.tls else None
    return parts.held(("pool", resource.path, target, certificates), opened)


def _sessions(
    resource: Resource, command: Command, parts: Parts
) -> AbstractAsyncContextManager[Sessions]:
    """The sessions of *command*, with their processes."""
    try:
        from mintage.gateway.commands import CommandSessions
    except ImportError as error:
        raise ConfigError(
            "resource.command", "needs the SDK: pip install 'mintage[commands]'"
        ) from error
    identify = resource.credential == "identity"

    @asynccontextmanager
    async def opened() -> AsyncIterator[Sessions]:
        sessions = CommandSessions(command, identify=identify)
        try:
            yield sessions
        finally:
            await sessions.close()

    return parts.held(("command", resource.path, command, identify), opened)
