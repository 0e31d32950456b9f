"""``/mintage/sign-out``: ends the sessions of this browser at all resources and at ``/account``."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.endpoints import SIGN_OUT
from mintage.errors import MethodNotAllowed
from mintage.server.account_session import AccountSessions
from mintage.server.cookies import Cookies, copy_cookies, digest_of
from mintage.server.login_errors import SignOutRefused
from mintage.server.login_leg import name_of
from mintage.server.page_cookies import PageForm, PageSeal
from mintage.server.pages import Pages
from mintage.server.provider_logout import provider_logout
from mintage.server.same_site import refuse_other_origins, refuse_other_sites
from mintage.server.site_sessions import SiteSessions
from mintage.site.site import Site
from mintage.upstream.registry import Upstreams
from mintage.values import Clock
from mintage.web.edge import read_form
from mintage.web.forms import one

_FORM_SECONDS: Final = 900


class _Form(msgspec.Struct, frozen=True, array_like=True):
    """The hidden field: for which browser the page was made."""

    browser: bytes
    expires_at: int


_forms: msgspec.msgpack.Decoder[_Form] = msgspec.msgpack.Decoder(_Form)


class SignOutEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A page with a button, and what the button does. Only a form of this page ends anything."""

    site: Site
    upstreams: Upstreams
    sessions: SiteSessions
    account: AccountSessions
    cookies: Cookies
    pages: Pages
    clock: Clock

    async def __call__(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("use GET or POST", allow="GET, HEAD, POST")
        return await (self._end if request.method == "POST" else self._ask)(request)

    async def _ask(self, request: Request) -> Response:
        sessions = [session async for session in self.sessions.of(request)]
        account = await self.account.find(request)
        fresh = Response()
        browser = digest_of(self.cookies.name_browser(request, fresh))
        form = _Form(browser, int(self.clock()) + _FORM_SECONDS)
        response = self.pages.show(
            request,
            "sign_out",
            action=f"{self.site.base_path}/{SIGN_OUT.name}",
            sealed=self._form.field(form),
            sessions=[
                {
                    "place": session.resource.name or session.resource.identifier,
                    "user": name_of(session.who),
                }
                for session in sessions
            ],
            account=None if account is None else account.name,
            ended=False,
        )
        copy_cookies(fresh, response)
        return response

    async def _end(self, request: Request) -> Response:
        form, back = await read_form(request), f"{self.site.issuer}/{SIGN_OUT.name}"
        refuse_other_sites(request, stage="login")
        refuse_other_origins(request, self.site, stage="login")
        self._form.sent(request, one(form, "form"), now=int(self.clock()))
        # Before the cookies go: a copy of them is then useless too.
        providers = await self.sessions.end(request)
        if (account := await self.account.find(request)) is not None:
            await self.account.end(account)
            provider = self.upstreams.find(account.provider)
            if provider is not None and provider not in providers:
                providers.append(provider)
        response = self.pages.show(
            request,
            "sign_out",
            action=None,
            sealed=None,
            sessions=[],
            account=None,
            ended=True,
            logouts=[
                logout
                for upstream in providers
                if (logout := await provider_logout(upstream, back=back)) is not None
            ],
        )
        self.sessions.clear(response)
        self.account.cookies.clear_session(response)
        return response

    @property
    def _form(self) -> PageForm[_Form]:
        return PageForm(
            PageSeal(self.cookies, "sign-out", self.site.issuer), _forms, SignOutRefused
        )
