"""The parts of device authorization (RFC 8628), if the settings have it."""

from collections.abc import Callable, Mapping

from mintage.app.limits import Limits
from mintage.clients.authentication import Authenticator
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.endpoints import DEVICE, DEVICE_AUTHORIZATION
from mintage.events.event import Emit
from mintage.grant_tokens import Tokens
from mintage.server.cookies import Cookies
from mintage.server.device import DeviceEndpoint
from mintage.server.device_authorization import DeviceAuthorizationEndpoint
from mintage.server.device_callback import DeviceSignIn
from mintage.server.device_codes import DeviceCodes
from mintage.server.device_session import DeviceCookies
from mintage.server.grant_types.device_code import DeviceCodeGrant, Polls
from mintage.server.pages import Pages, for_browsers
from mintage.server.sign_in import SignInCallback
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.site.site import Site
from mintage.upstream.registry import Upstreams
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.vault import Vault
from mintage.web.edge import Handler, for_clients


def device_codes(config: Config, random_bytes: RandomBytes) -> DeviceCodes:
    return DeviceCodes(_keys(config), config.issuer, random_bytes)


def device_grant(
    config: Config,
    site: Site,
    *,
    vault: Vault,
    tokens: Tokens,
    clock: Clock,
    steady: Clock,
    random_bytes: RandomBytes,
    emit: Emit,
) -> list[DeviceCodeGrant]:
    """What ``/token`` accepts of it: one grant type, or none."""
    section = config.grant_types.device_code
    if section is None:
        return []
    return [
        DeviceCodeGrant(
            site=site,
            devices=vault.devices,
            tokens=tokens,
            codes=device_codes(config, random_bytes),
            polls=Polls(section.interval, steady),
            clock=clock,
            emit=emit,
        )
    ]


def device_routes(
    config: Config,
    site: Site,
    pages: Pages,
    callbacks: Mapping[str, Handler],
    *,
    authenticate: Authenticator,
    upstreams: Upstreams,
    vault: Vault,
    check_client: Callable[[ClientId], None],
    revoker: UpstreamRevoker,
    limits: Limits,
    clock: Clock,
    random_bytes: RandomBytes,
    emit: Emit,
) -> dict[str, Handler]:
    """Its endpoint and its page, and the callbacks of its logins: the others go to *callbacks*."""
    section = config.grant_types.device_code
    if section is None:
        return {}
    cookies = DeviceCookies(Cookies(_keys(config), site.secure, random_bytes), site.issuer)
    ask = DeviceAuthorizationEndpoint(
        site=site,
        authenticate=authenticate,
        upstreams=upstreams,
        requests=vault.devices.requests,
        codes=device_codes(config, random_bytes),
        seconds=section.lifetime,
        interval=section.interval,
        clock=clock,
        random_bytes=random_bytes,
        limit_by_address=limits.device_requests_by_address.check,
        limit=limits.device_requests.check,
    )
    page = DeviceEndpoint(
        site=site,
        upstreams=upstreams,
        devices=vault.devices,
        check_client=check_client,
        cookies=cookies,
        pages=pages,
        scope_texts=config.scopes.texts,
        clock=clock,
        random_bytes=random_bytes,
        limit_by_address=limits.user_codes_by_address.check,
        limit=limits.user_codes.check,
        emit=emit,
    )
    found: dict[str, Handler] = {
        DEVICE_AUTHORIZATION.name: for_clients(ask, random_bytes),
        DEVICE.name: for_browsers(page, random_bytes, pages),
    }
    for upstream in upstreams:
        path = upstream.callback.lstrip("/")
        callback = SignInCallback(
            otherwise=callbacks[path],
            sign_in=DeviceSignIn(
                site=site,
                upstream=upstream,
                devices=vault.devices,
                check_client=check_client,
                cookies=cookies,
                pages=pages,
                emit=emit,
            ),
            upstream=upstream,
            vault=vault,
            allow=config.allow,
            turned_away=revoker,
            pages=pages,
            clock=clock,
            random_bytes=random_bytes,
            emit=emit,
        )
        found[path] = for_browsers(callback, random_bytes, pages)
    return found


def _keys(config: Config) -> tuple[BoxKey, ...]:
    return tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
