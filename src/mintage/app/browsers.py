"""What resources for browsers need: the check of sessions, and the pages around a login."""

from collections.abc import Mapping

import msgspec

from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.endpoints import SIGN_IN, SIGN_OUT
from mintage.events.event import Emit
from mintage.gateway.browser_sessions import BrowserSessions
from mintage.gateway.gateway import Gateway
from mintage.gateway.origins import origin_of
from mintage.resource.bearer import Bearer
from mintage.server.account_session import AccountCookies, AccountSessions
from mintage.server.browser_answers import BrowserAnswers
from mintage.server.browser_cookies import BrowserCookies
from mintage.server.browser_sign_in import BrowserSignIn, SignInEndpoint
from mintage.server.browser_sign_out import SignOutEndpoint
from mintage.server.cookies import Cookies
from mintage.server.pages import Pages, for_browsers
from mintage.server.sign_in import SignInCallback
from mintage.server.site_sessions import SiteSessions
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.upstream.registry import Upstreams
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault
from mintage.web.edge import Handler


class BrowserDoor(msgspec.Struct, frozen=True):
    """For one server. The gateway uses *sessions* and *answers*."""

    config: Config
    site: Site
    pages: Pages
    cookies: BrowserCookies
    sessions: BrowserSessions
    answers: BrowserAnswers

    def routes(
        self,
        endpoints: Mapping[str, Handler],
        gateway: Gateway,
        *,
        upstreams: Upstreams,
        vault: Vault,
        revoker: UpstreamRevoker,
        clock: Clock,
        random_bytes: RandomBytes,
        emit: Emit,
    ) -> dict[str, Handler]:
        """The pages, and the callbacks among *endpoints* with those of browsers' logins."""

        def find(path: bytes) -> Resource | None:
            found = gateway.resource_at(path)
            return None if found is None else found.target.resource

        sign_in = SignInEndpoint(
            site=self.site,
            find=find,
            upstreams=upstreams,
            cookies=self.cookies,
            pages=self.pages,
            clock=clock,
            random_bytes=random_bytes,
        )
        cookies = self.cookies.cookies
        account = AccountCookies(cookies, self.site.issuer)
        sign_out = SignOutEndpoint(
            site=self.site,
            upstreams=upstreams,
            sessions=SiteSessions(
                site=self.site,
                upstreams=upstreams,
                vault=vault,
                cookies=self.cookies,
                emit=emit,
            ),
            account=AccountSessions(account, vault, clock),
            cookies=cookies,
            pages=self.pages,
            clock=clock,
        )
        found: dict[str, Handler] = {SIGN_IN.name: sign_in, SIGN_OUT.name: sign_out}
        for upstream in upstreams:
            path = upstream.callback.lstrip("/")
            found[path] = SignInCallback(
                otherwise=endpoints[path],
                sign_in=BrowserSignIn(
                    site=self.site,
                    find=find,
                    upstream=upstream,
                    cookies=self.cookies,
                    sessions=vault.sessions,
                    emit=emit,
                ),
                upstream=upstream,
                vault=vault,
                allow=self.config.allow,
                turned_away=revoker,
                pages=self.pages,
                clock=clock,
                random_bytes=random_bytes,
                emit=emit,
            )
        return {name: for_browsers(each, random_bytes, self.pages) for name, each in found.items()}


def browser_door(
    config: Config,
    site: Site,
    pages: Pages,
    *,
    vault: Vault,
    bearer: Bearer,
    random_bytes: RandomBytes,
) -> BrowserDoor | None:
    """None if no resource is for browsers."""
    if not any(resource.browser for resource in site.resources):
        return None
    cookies = browser_cookies(config, site, random_bytes)
    sessions = BrowserSessions(cookies, vault.sessions, bearer, origin_of(site.issuer))
    return BrowserDoor(config, site, pages, cookies, sessions, BrowserAnswers(site, pages))


def browser_cookies(config: Config, site: Site, random_bytes: RandomBytes) -> BrowserCookies:
    """The cookies of browsers at the resources of *site*."""
    keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    cookies = Cookies(keys, site.secure, random_bytes)
    return BrowserCookies(cookies, site.issuer, config.lifetimes.browser.lifetime)
