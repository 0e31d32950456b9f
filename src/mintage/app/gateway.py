"""The gateway that a configuration describes: a backend for each resource, and the guard."""

from mintage.app.browsers import BrowserDoor
from mintage.errors import ConfigError
from mintage.events.event import Emit, ignore
from mintage.gateway.access_guard import AccessGuard
from mintage.gateway.backend import Backend
from mintage.gateway.credentials import BackendCredentials, Exchanger, IdentitySigner
from mintage.gateway.gateway import Gateway, PageAbout
from mintage.gateway.header_names import Passing
from mintage.gateway.http1.pool import Pool
from mintage.gateway.origins import Origins, origin_of
from mintage.gateway.proxy import Ask, Proxy, ask
from mintage.resource.bearer import Bearer
from mintage.settings.load import Config
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.site.targets import Command, External, HttpTarget
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault


def open_gateway(
    config: Config,
    site: Site,
    *,
    bearer: Bearer,
    vault: Vault,
    exchange: Exchanger,
    clock: Clock,
    steady: Clock,
    random_bytes: RandomBytes,
    page: PageAbout,
    emit: Emit = ignore,
    browsers: BrowserDoor | None = None,
    ask: Ask = ask,
) -> Gateway:
    """The gateway of *config* on *site*. It has no connection to a backend yet.

    Raises `ConfigError` if a command needs an extra that is not installed.
    """
    keys = config.signing_keys
    signer = IdentitySigner(site.issuer, keys[0], clock, random_bytes) if keys else None
    credentials = BackendCredentials(
        vault,
        clock,
        steady,
        exchange,
        signer,
        group_bytes=config.gateway.max_group_bytes,
        emit=emit,
    )
    origins = Origins(
        own=origin_of(config.issuer),
        allowed=frozenset(config.gateway.allowed_origins),
        let_any_web_page_call=config.gateway.let_any_web_page_call,
    )
    return Gateway(
        {resource.request_path: _backend(resource) for resource in site.resources},
        Proxy(credentials, ask),
        AccessGuard(
            site, bearer, origins, random_bytes, None if browsers is None else browsers.sessions
        ),
        page,
        None if browsers is None else browsers.answers,
    )


def _backend(resource: Resource) -> Backend:
    match resource.target:
        case HttpTarget() as target:
            passing = Passing(target.drop_headers, target.pass_headers)
            return Backend(resource=resource, pool=Pool(target), passing=passing)
        case Command() as command:
            return _run_here(resource, command)
        case External():
            return Backend(resource=resource)


def _run_here(resource: Resource, command: Command) -> Backend:
    try:
        from mintage.gateway.commands import CommandSessions
    except ImportError as error:
        raise ConfigError(
            "resource.command", "needs the SDK: pip install 'mintage[commands]'"
        ) from error
    sessions = CommandSessions(command, identify=resource.credential == "identity")
    return Backend(resource=resource, sessions=sessions)
