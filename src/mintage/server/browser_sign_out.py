"""``/mintage/sign-out``: ends the sessions of this browser at all resources of the server."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.endpoints import SIGN_OUT
from mintage.errors import MethodNotAllowed, SealError
from mintage.events.event import Emit, Party, ignore
from mintage.events.logins import SessionEnded
from mintage.grants.browser_sessions import browser_client
from mintage.grants.handles import Handle
from mintage.grants.states import Identity
from mintage.server.browser_cookies import BrowserCookies
from mintage.server.cookies import digest_of
from mintage.server.login_errors import CookieMissing, SignOutRefused
from mintage.server.login_leg import name_of
from mintage.server.pages import Pages
from mintage.server.provider_logout import provider_logout
from mintage.server.same_site import refuse_other_origins, refuse_other_sites
from mintage.server.sealed_text import open_text, seal_text
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import Clock, RandomBytes
from mintage.vault.values import OpenGrant
from mintage.vault.vault import Vault
from mintage.web.edge import read_form
from mintage.web.forms import one

_FORM_SECONDS: Final = 900


class _Form(msgspec.Struct, frozen=True, array_like=True):
    """The hidden field: for which browser the page was made."""

    browser: bytes
    expires_at: int


_forms: msgspec.msgpack.Decoder[_Form] = msgspec.msgpack.Decoder(_Form)


@dataclass(frozen=True, slots=True)
class _SignedIn:
    """One session of this browser."""

    resource: Resource
    secret: bytes = field(repr=False)
    who: Identity
    party: Party
    upstream: RegisteredUpstream | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOutEndpoint:
    """A page with a button, and what the button does. Only a form of this page ends anything."""

    site: Site
    upstreams: Upstreams
    vault: Vault
    cookies: BrowserCookies
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("use GET or POST", allow="GET, HEAD, POST")
        return await (self._end if request.method == "POST" else self._ask)(request)

    async def _ask(self, request: Request) -> Response:
        sessions = [session async for session in self._sessions(request)]
        fresh = Response()
        browser = digest_of(self.cookies.cookies.name_browser(request, fresh))
        form = _Form(browser, int(self.clock()) + _FORM_SECONDS)
        response = self.pages.show(
            request,
            "sign_out",
            action=f"{self.site.base_path}/{SIGN_OUT.name}",
            sealed=seal_text(
                form,
                keys=self.cookies.cookies.keys,
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
        providers: list[RegisteredUpstream] = []
        async for session in self._sessions(request):
            if session.upstream is not None and session.upstream not in providers:
                providers.append(session.upstream)
            client = browser_client(session.resource.path)
            await self.vault.revoke(Handle(session.secret, 0, "access"), client)
            self.emit(SessionEnded(party=session.party, reason="signed_out"))
        response = self.pages.show(
            request,
            "sign_out",
            action=None,
            sealed=None,
            sessions=[],
            ended=True,
            logouts=[
                logout
                for upstream in providers
                if (logout := await provider_logout(upstream, back=back)) is not None
            ],
        )
        response.headers["clear-site-data"] = '"cache"'  # the pages that "Back" would show again
        for resource in self._resources:
            self.cookies.clear_session(response, resource)
        return response

    @property
    def _resources(self) -> list[Resource]:
        return [resource for resource in self.site.resources if resource.browser]

    async def _sessions(self, request: Request) -> AsyncGenerator[_SignedIn, None]:
        """The live sessions of this browser."""
        for resource in self._resources:
            secret = self.cookies.session(request.scope["headers"], resource)
            if secret is None:
                continue
            client = browser_client(resource.path)
            found = await self.vault.sessions.use(secret, client, counts=False)
            if isinstance(found, OpenGrant):
                who = found.grant.login.identity
                upstream = self.upstreams.owner(found.grant.upstream)
                yield _SignedIn(resource, secret, who, found.party(), upstream)

    def _check_form(self, request: Request, text: str) -> None:
        """The form must be from this page and this browser, and not too old."""
        try:
            form = open_text(text, _forms, keys=self.cookies.cookies.keys, context=self._context)
        except SealError:
            raise SignOutRefused(
                "this server did not make this form; open the page again", reason="foreign form"
            ) from None
        if not self.cookies.cookies.is_from(request, form.browser):
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
