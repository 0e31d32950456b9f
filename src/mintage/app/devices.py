"""The parts of device authorization (RFC 8628), if the settings have it."""

from collections.abc import Mapping

from mintage.app.core import Core
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.endpoints import DEVICE, DEVICE_AUTHORIZATION
from mintage.server.device import DeviceEndpoint
from mintage.server.device_authorization import DeviceAuthorizationEndpoint
from mintage.server.device_callback import DeviceSignIn
from mintage.server.device_codes import DeviceCodes
from mintage.server.device_session import DeviceCookies
from mintage.server.grant_types.device_code import DeviceCodeGrant, Polls
from mintage.server.pages import for_browsers
from mintage.server.sign_in import SignInCallback
from mintage.settings.grant_types import DeviceCodeSection
from mintage.settings.load import Config
from mintage.values import RandomBytes
from mintage.web.edge import Handler, for_clients


def device_codes(config: Config, random_bytes: RandomBytes) -> DeviceCodes:
    keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    return DeviceCodes(keys, config.issuer, random_bytes)


def device_grant(core: Core) -> list[DeviceCodeGrant]:
    """What ``/token`` accepts of it: one grant type, or none."""
    section = core.config.grant_types.device_code
    if section is None:
        return []
    return [
        DeviceCodeGrant(
            site=core.site,
            devices=core.vault.devices,
            tokens=core.tokens,
            codes=device_codes(core.config, core.random_bytes),
            polls=Polls(section.interval, core.lasting.steady),
            clock=core.clock,
            emit=core.emit,
        )
    ]


def device_routes(core: Core, callbacks: Mapping[str, Handler]) -> dict[str, Handler]:
    """Its endpoint and its page, and the callbacks of its logins: the others go to *callbacks*."""
    section = core.config.grant_types.device_code
    if section is None:
        return {}
    cookies = DeviceCookies(core.cookies, core.site.issuer)
    endpoints: dict[str, Handler] = {
        DEVICE_AUTHORIZATION.name: for_clients(_endpoint(core, section), core.random_bytes),
        DEVICE.name: for_browsers(_page(core, cookies), core.random_bytes, core.pages),
    }
    return endpoints | _callbacks(core, cookies, callbacks)


def _endpoint(core: Core, section: DeviceCodeSection) -> DeviceAuthorizationEndpoint:
    return DeviceAuthorizationEndpoint(
        site=core.site,
        authenticate=core.authenticate,
        upstreams=core.upstreams,
        requests=core.vault.devices.requests,
        codes=device_codes(core.config, core.random_bytes),
        seconds=section.lifetime,
        interval=section.interval,
        clock=core.clock,
        random_bytes=core.random_bytes,
        limit_by_address=core.limits.device_requests_by_address.check,
        limit=core.limits.device_requests.check,
    )


def _page(core: Core, cookies: DeviceCookies) -> DeviceEndpoint:
    return DeviceEndpoint(
        site=core.site,
        upstreams=core.upstreams,
        devices=core.vault.devices,
        check_client=core.denials.denied.check_id,
        cookies=cookies,
        pages=core.pages,
        scope_texts=core.config.scopes.texts,
        clock=core.clock,
        random_bytes=core.random_bytes,
        limit_by_address=core.limits.user_codes_by_address.check,
        limit=core.limits.user_codes.check,
        emit=core.emit,
    )


def _callbacks(
    core: Core, cookies: DeviceCookies, callbacks: Mapping[str, Handler]
) -> dict[str, Handler]:
    found: dict[str, Handler] = {}
    for upstream in core.upstreams:
        path = upstream.callback.lstrip("/")
        callback = SignInCallback(
            otherwise=callbacks[path],
            sign_in=DeviceSignIn(
                site=core.site,
                upstream=upstream,
                devices=core.vault.devices,
                check_client=core.denials.denied.check_id,
                cookies=cookies,
                pages=core.pages,
                emit=core.emit,
            ),
            upstream=upstream,
            vault=core.vault,
            allow=core.config.allow,
            turned_away=core.revoker,
            pages=core.pages,
            clock=core.clock,
            random_bytes=core.random_bytes,
            emit=core.emit,
        )
        found[path] = for_browsers(callback, core.random_bytes, core.pages)
    return found
