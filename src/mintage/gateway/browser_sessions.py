"""Finds the live grant of a browser's request from its cookie, or refuses the request."""

from collections.abc import Sequence

import msgspec

from mintage.access.scopes import Call
from mintage.errors import AccessDenied
from mintage.gateway.headers import RawHeaders
from mintage.grants.browser_sessions import browser_client
from mintage.resource.bearer import Access, Bearer, NoToken
from mintage.server.browser_cookies import BrowserCookies
from mintage.server.login_errors import FromAnotherSite
from mintage.site.resource import Resource
from mintage.vault.sessions import Sessions
from mintage.vault.values import Refused
from mintage.web.current_request import note_caller
from mintage.web.fetch_metadata import is_forged


class NoSession(NoToken):
    """The browser is not signed in at this resource, or not any more."""


class BrowserSessions(msgspec.Struct, frozen=True):
    """*own*: the origin of the pages of all resources. *bearer*: for scopes and rules."""

    cookies: BrowserCookies
    sessions: Sessions
    bearer: Bearer
    own: str

    def serve(self, headers: RawHeaders, resource: Resource) -> bool:
        """Whether a request to *resource* is judged by its cookie.

        ``Authorization`` of any kind decides alone, if it is there.
        """
        return resource.browser and not any(name == b"authorization" for name, _ in headers)

    def at(self, method: str, *, websocket: bool, counts: bool) -> "_Request":
        """The same check as `Bearer.check`, for a request with *method*.

        *counts*: see `Sessions.use`.
        """
        return _Request(self, method, websocket, counts)


class _Request(msgspec.Struct, frozen=True):
    of: BrowserSessions
    method: str
    websocket: bool
    counts: bool

    async def __call__(
        self,
        headers: RawHeaders,
        resource: Resource,
        calls: Sequence[Call],
        *_: object,
    ) -> Access:
        """The access that the session's cookie gives to *resource* and all *calls* there.

        Raises `NoSession`, `InsufficientScope`, `AccessDenied`; and `StoreUnavailable` or
        `UpstreamError` if nothing is known, which is no refusal.
        """
        secret = self.of.cookies.session(headers, resource)
        if secret is None:
            raise NoSession("sign in with a browser, or send an access token in Authorization")
        self._check_origin(headers, resource)
        sessions, client = self.of.sessions, browser_client(resource.path)
        found = await sessions.use(secret, client, counts=self.counts)
        if isinstance(found, Refused):
            raise NoSession(
                "this browser's session has ended; sign in again", reason=found.reason.value
            )
        if self.of.bearer.denied(client):
            raise AccessDenied(
                "the operator of this server has denied browsers here; ask them",
                reason="client_denied",
                stage="client",
            )
        access = Access(
            found, resource.session_scopes, sessions.end_of(found.grant), by_cookie=True
        )
        note_caller(access)
        self.of.bearer.judge(access, resource, calls)
        return access

    def _check_origin(self, headers: RawHeaders, resource: Resource) -> None:
        if is_forged(
            headers,
            self.method,
            own=self.of.own,
            allowed=resource.browser_origins,
            websocket=self.websocket,
        ):
            raise FromAnotherSite(
                "another site may have sent this request in the user's name: go to the address, or "
                "send the request from a page of this site",
                reason="a request with a session's cookie from another site, or from nowhere",
                stage="request",
            )
