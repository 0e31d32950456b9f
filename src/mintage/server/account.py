"""``/account``: the user's connected apps, to look at and to disconnect.

Everything happens by a form of this page, so that no other site can do it in the user's name: not
even begin the login.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.clients.directory import Directory
from mintage.crypto.base64url import encode_text
from mintage.endpoints import ACCOUNT
from mintage.errors import (
    InvalidRequest,
    MethodNotAllowed,
    OAuthError,
    StoreError,
    UpstreamError,
)
from mintage.partly_shown import PartlyShown
from mintage.server.account_page import AccountPage, ConnectedApp
from mintage.server.account_session import (
    SESSION_SECONDS,
    AccountCookies,
    AccountForm,
    AccountLogin,
    AccountSession,
    AccountSessions,
)
from mintage.server.cookies import LOGIN_SECONDS, copy_cookies, digest_of
from mintage.server.login_errors import AccountRefused
from mintage.server.pages import Pages
from mintage.server.provider_logout import ProviderLogout, provider_logout
from mintage.server.remembering import Remembering
from mintage.server.same_site import refuse_other_origins, refuse_other_sites
from mintage.server.site_sessions import SiteSessions
from mintage.site.site import Site
from mintage.upstream.protocol import LoginParameters, LoginRequest
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import Clock, RandomBytes
from mintage.vault.consents import StoredConsent
from mintage.vault.values import Listed
from mintage.vault.vault import Vault
from mintage.web.edge import NO_STORE, failure_of, read_form
from mintage.web.forms import Form, one, optional

_BUTTONS: Final = ("upstream", "grant", "forget", "action")


class AccountEndpoint(PartlyShown, frozen=True, kw_only=True):
    not_shown = ("scope_texts",)

    site: Site
    directory: Directory
    upstreams: Upstreams
    vault: Vault
    cookies: AccountCookies
    remembering: Remembering
    sites: SiteSessions
    pages: Pages
    scope_texts: Mapping[str, str]
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, request: Request) -> Response:
        """The page; or what one of its buttons does."""
        if request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("use GET or POST", allow="GET, HEAD, POST")
        try:
            return await (self._act if request.method == "POST" else self._show)(request)
        except (OAuthError, UpstreamError, StoreError) as error:
            failure = failure_of(error, request, self.random_bytes, level=logging.WARNING)
            return self.pages.error(request, failure, retry=account_path(self.site))

    async def _show(self, request: Request) -> Response:
        now, fresh = int(self.clock()), Response()
        session = await self._session(request)
        browser = self.cookies.cookies.name_browser(request, fresh)
        form = AccountForm(
            browser=digest_of(browser),
            session=None if session is None else session.id,
            expires_at=now + SESSION_SECONDS,
        )
        apps = [] if session is None else [app async for app in self._apps(session)]
        page = AccountPage(self.site, self.scope_texts)
        response = self.pages.show(
            request,
            "account",
            action=account_path(self.site),
            sealed=self.cookies.form.field(form),
            session=session,
            upstreams=[{"name": one.name, "title": one.title} for one in self.upstreams],
            apps=page.rows(apps, now=now),
            remembered=page.remembered(
                (
                    stored,
                    self.directory.known(stored.consent.client_id),
                    self.remembering.ends(stored.consent),
                )
                for stored in await self._remembered(session)
            ),
            at_provider=await self._provider_logout(session) is not None,
            minutes=SESSION_SECONDS // 60,
        )
        copy_cookies(fresh, response)
        return response

    async def _act(self, request: Request) -> Response:
        form = await read_form(request)
        refuse_other_sites(request, stage="account")
        refuse_other_origins(request, self.site, stage="account")
        session = await self._session(request)
        sent = self.cookies.form.sent(request, one(form, "form"), now=int(self.clock()))
        check_session(sent, session)
        if sum(optional(form, name) is not None for name in _BUTTONS) != 1:
            raise InvalidRequest(f"send one of: {', '.join(_BUTTONS)}", stage="account")
        if (name := optional(form, "upstream")) is not None:
            return await self._sign_in(request, name)
        if session is None:
            raise AccountRefused("sign in first", reason="not signed in")
        return await self._change(request, form, session)

    async def _sign_in(self, request: Request, name: str) -> Response:
        upstream = self.upstreams.find(name)
        if upstream is None:
            raise InvalidRequest("upstream must be one of those on the page", stage="account")
        login = AccountLogin(
            state=self._random(),
            nonce=self._random(),
            code_verifier=self._random(),
            expires_at=int(self.clock()) + LOGIN_SECONDS,
            upstream=upstream.name,
        )
        url = await upstream.authorization_url(account_login(login, upstream, self.site))
        response = self.pages.onward(request, url, to=upstream.title)
        self.cookies.login.set(response, login)
        return response

    async def _change(self, request: Request, form: Form, session: AccountSession) -> Response:
        """Disconnect apps, forget an answer, or sign out; and then show the page again."""
        response: Response = RedirectResponse(
            account_path(self.site), status_code=303, headers=NO_STORE
        )
        if (grant := optional(form, "grant")) is not None:
            await self._disconnect(session, grant)
            return response
        if (answer := optional(form, "forget")) is not None:
            for stored in await self._remembered(session):
                if stored.id == answer:
                    await self.remembering.forget(stored)
                    self.remembering.forget_here(request, response, [stored.key])
            return response
        match one(form, "action"):
            case "disconnect_all":
                await self._disconnect(session, None)
            case "sign_out":
                await self._sign_out(request, session, response)
            case "sign_out_at_provider":
                if (logout := await self._provider_logout(session)) is not None:
                    response = self.pages.onward(request, logout.url, to=logout.title)
                await self._sign_out(request, session, response)
            case _:
                raise InvalidRequest(
                    "action must be disconnect_all, sign_out or sign_out_at_provider",
                    stage="account",
                )
        return response

    async def _sign_out(
        self, request: Request, session: AccountSession, response: Response
    ) -> None:
        """End this session, and those of this browser at resources."""
        # Before the cookies go: a copy of them is then useless too.
        await self.sites.end(request)
        await self._sessions.end(session)
        self.sites.clear(response)
        self.cookies.clear_session(response)
        self.remembering.cookie.clear(response)

    async def _provider_logout(self, session: AccountSession | None) -> ProviderLogout | None:
        """The logout at the provider at which the person signed in."""
        if session is None:
            return None
        upstream = self.upstreams.find(session.provider)
        return await provider_logout(upstream, back=f"{self.site.issuer}/{ACCOUNT.name}")

    async def _disconnect(self, session: AccountSession, name: str | None) -> None:
        """End the user's own grant *name*, or all of them. One that is not there has ended.

        The app must ask again, so what is remembered of it goes first.
        """
        grants = [grant async for grant in self._grants(session) if name in (None, grant.id)]
        clients = {grant.summary.client_id for grant in grants if grant.summary is not None}
        for stored in await self._remembered(session):
            if name is None or stored.consent.client_id in clients:
                await self.remembering.forget(stored)
        for grant in grants:
            await self.vault.revocation.end(grant, by="user", reason="disconnected_by_user")

    async def _remembered(self, session: AccountSession | None) -> list[StoredConsent]:
        if session is None:
            return []
        return await self.remembering.of(session.issuers, session.subject)

    async def _apps(self, session: AccountSession) -> AsyncGenerator[ConnectedApp, None]:
        async for grant in self._grants(session):
            if grant.summary is not None:
                client = self.directory.known(grant.summary.client_id)
                lifetimes = self.vault.lifetimes
                times = lifetimes.renewed_at(grant), lifetimes.lasts_until(grant)
                yield ConnectedApp(grant, grant.summary, client, *times)

    async def _grants(self, session: AccountSession) -> AsyncGenerator[Listed, None]:
        """The user's grants, under each name of the provider."""
        for issuer in session.issuers:
            async for grant in self.vault.listing.find(subject=(issuer, session.subject)):
                yield grant

    async def _session(self, request: Request) -> AccountSession | None:
        return await self._sessions.find(request)

    @property
    def _sessions(self) -> AccountSessions:
        return AccountSessions(self.cookies, self.vault, self.clock)

    def _random(self) -> str:
        return encode_text(self.random_bytes(32))


def account_path(site: Site) -> str:
    """The path of the page."""
    return f"{site.base_path}/{ACCOUNT.name}"


def account_login(login: AccountLogin, upstream: RegisteredUpstream, site: Site) -> LoginRequest:
    """The login as it is requested from the provider.

    The person chooses the account there: it decides whose apps the page shows.
    """
    return LoginRequest(
        redirect_uri=site.issuer + upstream.callback,
        state=login.state,
        nonce=login.nonce,
        code_verifier=login.code_verifier,
        parameters=LoginParameters(prompt="select_account"),
    )


def check_session(form: AccountForm, session: AccountSession | None) -> None:
    """Raises `AccountRefused` if the page of *form* was shown in another session than *session*."""
    if form.session is not None and (session is None or form.session != session.id):
        raise AccountRefused(
            "you signed out, or signed in again, after this page was shown; open it again",
            reason="form of another session",
        )
