"""The pages of a login, and the page of the connected apps."""

from collections.abc import Mapping

from mintage.app.browsers import browser_cookies
from mintage.app.core import Core
from mintage.app.pushed_requests import authorization_checks, pushed_seal
from mintage.endpoints import ACCOUNT, AUTHORIZE, CONSENT
from mintage.server.account import AccountEndpoint
from mintage.server.account_callback import AccountSignIn
from mintage.server.account_session import AccountCookies
from mintage.server.authorize import AuthorizeEndpoint
from mintage.server.callback import CallbackEndpoint
from mintage.server.consent import ConsentEndpoint
from mintage.server.consent_form import ConsentSeal
from mintage.server.login_start import LoginStart
from mintage.server.no_logins import NobodyLogsIn
from mintage.server.pages import for_browsers
from mintage.server.pushed_requests import PushedSeal
from mintage.server.remembered_cookie import HintCookie
from mintage.server.remembering import Remembering
from mintage.server.sign_in import SignInCallback
from mintage.server.site_sessions import SiteSessions
from mintage.vault.settings import forget
from mintage.web.edge import Handler


def page_routes(core: Core) -> dict[str, Handler]:
    """The pages of a login, by their names below the issuer."""
    seal = ConsentSeal(core.cookies.keys, core.random_bytes)
    start = LoginStart(
        site=core.site,
        cookies=core.cookies,
        pages=core.pages,
        clock=core.clock,
        random_bytes=core.random_bytes,
    )
    remembering = _remembering(core)
    pushed = pushed_seal(core.config, core.random_bytes)
    authorize = AuthorizeEndpoint(
        site=core.site,
        directory=core.directory,
        checks=authorization_checks(core),
        pushed=pushed,
        is_claimed=core.vault.single_use.is_claimed,
        cookies=core.cookies,
        seal=seal,
        remembering=remembering,
        start=start,
        pages=core.pages,
        scope_texts=core.config.scopes.texts,
        clock=core.clock,
        random_bytes=core.random_bytes,
    )
    consent = ConsentEndpoint(
        site=core.site,
        upstreams=core.upstreams,
        cookies=core.cookies,
        seal=seal,
        start=start,
        pages=core.pages,
        clock=core.clock,
        random_bytes=core.random_bytes,
        emit=core.emit,
    )
    for_people = _callbacks(core, remembering, pushed)
    if core.site.account:
        for_people |= _account(core, for_people, remembering)
    return {
        AUTHORIZE.name: for_browsers(authorize, core.random_bytes, core.pages, of_application=True),
        CONSENT.name: for_browsers(consent, core.random_bytes, core.pages),
        **{
            path: for_browsers(handler, core.random_bytes, core.pages)
            for path, handler in for_people.items()
        },
    }


def routes_without_logins(core: Core) -> dict[str, Handler]:
    """What a server has in place of `page_routes` if nobody logs in there."""
    refuse = NobodyLogsIn(tuple(each.name for each in core.config.capabilities.grant_types))
    pages = for_browsers(refuse, core.random_bytes, core.pages, of_application=True)
    return {AUTHORIZE.name: pages}


def _remembering(core: Core) -> Remembering:
    return Remembering(
        seconds=core.config.consent.remember_seconds,
        site=core.site,
        consents=core.vault.consents,
        cookie=HintCookie(core.cookies, core.cookies.keys, core.site.issuer, core.random_bytes),
        clock=core.clock,
        emit=core.emit,
    )


def _callbacks(core: Core, remembering: Remembering, pushed: PushedSeal) -> dict[str, Handler]:
    """The callbacks of clients' logins, by their paths."""
    return {
        upstream.callback.lstrip("/"): CallbackEndpoint(
            site=core.site,
            upstream=upstream,
            vault=core.vault,
            cookies=core.cookies,
            remembering=remembering,
            pushed=pushed,
            revoker=core.revoker,
            allow=core.config.allow,
            pages=core.pages,
            clock=core.clock,
            random_bytes=core.random_bytes,
            emit=core.emit,
        )
        for upstream in core.upstreams
    }


def _account(
    core: Core, callbacks: Mapping[str, Handler], remembering: Remembering
) -> dict[str, Handler]:
    """The page of the connected apps, and the *callbacks* with those of its logins."""
    cookies = AccountCookies(core.cookies, core.site.issuer)
    found: dict[str, Handler] = {
        ACCOUNT.name: AccountEndpoint(
            site=core.site,
            directory=core.directory,
            upstreams=core.upstreams,
            vault=core.vault,
            cookies=cookies,
            remembering=remembering,
            sites=SiteSessions(
                site=core.site,
                upstreams=core.upstreams,
                vault=core.vault,
                cookies=browser_cookies(core.config, core.site, core.random_bytes),
                emit=core.emit,
            ),
            pages=core.pages,
            scope_texts=core.config.scopes.texts,
            clock=core.clock,
            random_bytes=core.random_bytes,
        )
    }
    for upstream in core.upstreams:
        path = upstream.callback.lstrip("/")
        found[path] = SignInCallback(
            otherwise=callbacks[path],
            sign_in=AccountSignIn(
                site=core.site,
                upstream=upstream,
                cookies=cookies,
                random_bytes=core.random_bytes,
                emit=core.emit,
            ),
            upstream=upstream,
            vault=core.vault,
            allow=core.config.allow,
            turned_away=forget,
            pages=core.pages,
            clock=core.clock,
            random_bytes=core.random_bytes,
            emit=core.emit,
        )
    return found
