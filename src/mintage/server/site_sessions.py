"""The sessions of one browser at all resources for browsers: whose they are, and their end."""

from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.events.event import Emit, Party, ignore
from mintage.events.logins import SessionEnded
from mintage.grants.browser_sessions import browser_client
from mintage.grants.handles import Handle
from mintage.grants.states import Identity
from mintage.partly_shown import PartlyShown
from mintage.server.browser_cookies import BrowserCookies
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.vault.values import OpenGrant
from mintage.vault.vault import Vault


class SiteSession(PartlyShown, frozen=True):
    """One session of this browser."""

    not_shown = ("secret",)

    resource: Resource
    secret: bytes
    who: Identity
    party: Party
    upstream: RegisteredUpstream | None


class SiteSessions(msgspec.Struct, frozen=True, kw_only=True):
    site: Site
    upstreams: Upstreams
    vault: Vault
    cookies: BrowserCookies
    emit: Emit = ignore

    async def of(self, request: Request) -> AsyncGenerator[SiteSession, None]:
        """The live sessions of this browser."""
        for resource in self._resources:
            secret = self.cookies.session(request.scope["headers"], resource)
            if secret is None:
                continue
            client = browser_client(resource.path)
            found = await self.vault.sessions.use(secret, client, counts=False)
            if isinstance(found, OpenGrant):
                who = found.grant.login.identity
                tokens = found.grant.upstream
                upstream = None if tokens is None else self.upstreams.owner(tokens)
                yield SiteSession(resource, secret, who, found.party(), upstream)

    async def end(self, request: Request) -> list[RegisteredUpstream]:
        """End them all, so that copies of their cookies are useless too.

        Returns the providers at which the person signed in.
        """
        providers: list[RegisteredUpstream] = []
        async for session in self.of(request):
            if session.upstream is not None and session.upstream not in providers:
                providers.append(session.upstream)
            client = browser_client(session.resource.path)
            await self.vault.revocation.revoke(Handle(session.secret, 0, "access"), client)
            self.emit(SessionEnded(party=session.party, reason="signed_out"))
        return providers

    def clear(self, response: Response) -> None:
        """Remove their cookies, and the pages that "Back" would show again."""
        for resource in self._resources:
            self.cookies.clear_session(response, resource)
            response.headers["clear-site-data"] = '"cache"'

    @property
    def _resources(self) -> list[Resource]:
        return [resource for resource in self.site.resources if resource.browser]
