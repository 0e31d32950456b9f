"""``/mintage/sign-out``: ends the sessions of this browser at all resources and at ``/account``."""

from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.endpoints import SIGN_OUT
from mintage.errors import MethodNotAllowed, SealError
from mintage.server.account_session import AccountSessions
from mintage.server.cookies import Cookies, digest_of
from mintage.server.login_errors import CookieMissing, SignOutRefused
from mintage.server.login_leg import name_of
from mintage.server.pages import Pages
from mintage.server.provider_logout import provider_logout
from mintage.server.same_site import refuse_other_origins, refuse_other_sites
from mintage.server.sealed_text import open_text, seal_text
from mintage.server.site_sessions import SiteSessions
from mintage.site.site import Site
from mintage.upstream.registry import Upstreams
from mintage.values import Clock, RandomBytes
from mintage.web.edge import read_form
from mintage.web.forms import one

_FORM_SECONDS: Final = 900


class _Form(msgspec.Struct, frozen=True, array_like=True):
    """The hidden field: for which browser the page was made."""

    browser: bytes
    expires_at: int


_forms: msgspec.msgpack.Decoder[_Form] = msgspec.msgpack.Decoder(_Form)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOutEndpoint:
    """A page with a button, and what the button does. Only a form of this page ends anything."""

    site: Site
    upstreams: Upstreams
    sessions: SiteSessions
    account: AccountSessions
    cookies: Cookies
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes

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
            sealed=seal_text(
                form,
                keys=self.cookies.keys,
                context=self._context,
                random_bytes=self.random_bytes,
            ),
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
        response.raw_headers.extend(h for h in fresh.raw_headers if h[0] == b"set-cookie")
        return response

    async def _end(self, request: Request) -> Response:
        form, back = await read_form(request), f"{self.site.issuer}/{SIGN_OUT.name}"
        refuse_other_sites(request, stage="login")
        refuse_other_origins(request, self.site, stage="login")
        self._check_form(request, one(form, "form"))
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

    def _check_form(self, request: Request, text: str) -> None:
        """The form must be from this page and this browser, and not too old."""
        try:
            form = open_text(text, _forms, keys=self.cookies.keys, context=self._context)
        except SealError:
            raise SignOutRefused(
                "this server did not make this form; open the page again", reason="foreign form"
            ) from None
        if not self.cookies.is_from(request, form.browser):
            raise CookieMissing(
                "this browser did not send back the cookie that the page came with; allow "
                "cookies for this site",
                reason="sign-out form without its browser's cookie",
            )
        if int(self.clock()) >= form.expires_at:
            raise SignOutRefused(
                "this page was open for too long; open it again", reason="expired form"
            )

    @property
    def _context(self) -> bytes:
        return f"sign-out form of {self.site.issuer}".encode()
