"""The login of a browser at a resource: from its address to the provider, and back to it.

The operator's own site asks, and no third party gets anything, so there is no consent page. Nothing
is stored until the user is back: the login travels in a cookie of the browser that began it.
"""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, TypeAlias
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.crypto.base64url import encode_text
from mintage.endpoints import SIGN_IN
from mintage.errors import InvalidRequest, MethodNotAllowed, NotFound
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.logins import LoggedIn, Purpose
from mintage.grants.browser_sessions import browser_client
from mintage.grants.handles import grant_id, store_key
from mintage.grants.states import Consent, Identity
from mintage.server.browser_cookies import MAX_ADDRESS, BrowserCookies, BrowserLogin
from mintage.server.cookies import LOGIN_SECONDS
from mintage.server.pages import Pages
from mintage.server.sign_in import Arrival
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.upstream.protocol import LoginParameters, LoginRequest
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import Clock, RandomBytes
from mintage.vault.sessions import Sessions
from mintage.web.edge import NO_STORE, read_query
from mintage.web.forms import one, optional

FindResource: TypeAlias = Callable[[bytes], Resource | None]
"""The resource of a path, as the gateway finds it. Raises `InvalidRequest` for an odd path."""

# RFC 3986, and what browsers leave as it is: no control, no blank, no backslash, no fragment.
_ADDRESS: Final = re.compile(r"/[!$-Z\[\]^-~]*")


class SignInEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """``/mintage/sign-in?to=ADDRESS``: begins the login, and comes back to that address."""

    site: Site
    find: FindResource
    upstreams: Upstreams
    cookies: BrowserCookies
    pages: Pages
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            raise MethodNotAllowed("use GET", allow="GET")
        form = read_query(request)
        address, choose = one(form, "to"), optional(form, "account") == "other"
        resource = resource_of(address, self.find)
        offered = self._offered(resource, optional(form, "upstream"))
        if len(offered) > 1:
            return self._ask(request, address, resource, offered, choose=choose)
        login = BrowserLogin(
            state=self._random(),
            nonce=self._random(),
            code_verifier=self._random(),
            expires_at=int(self.clock()) + LOGIN_SECONDS,
            upstream=offered[0].name,
            resource=resource.path,
            address=address,
            choose=choose,
        )
        wanted = login_request(login, resource, offered[0], self.site)
        url = await offered[0].authorization_url(wanted)
        response = RedirectResponse(url, status_code=303, headers=NO_STORE)
        self.cookies.logins.set(request, response, login)
        return response

    def _offered(self, resource: Resource, name: str | None) -> Sequence[RegisteredUpstream]:
        """The providers that *resource* accepts, or the one of them that the person chose."""
        found = [
            u for u in self.upstreams if not resource.upstreams or u.name in resource.upstreams
        ]
        if name is not None:
            found = [upstream for upstream in found if upstream.name == name]
        if not found:
            raise InvalidRequest("upstream must be one that this site accepts", stage="login")
        return found

    def _ask(
        self,
        request: Request,
        address: str,
        resource: Resource,
        offered: Sequence[RegisteredUpstream],
        *,
        choose: bool,
    ) -> Response:
        """A page with a link for each provider."""
        links = [
            {"title": one.title, "url": sign_in_path(self.site, address, one.name, choose=choose)}
            for one in offered
        ]
        name = resource.name or self.pages.server_name
        return self.pages.show(request, "sign_in", place=name, upstreams=links)

    def _random(self) -> str:
        return encode_text(self.random_bytes(32))


class BrowserSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a login that began at a resource: a session there. See `SignIn`."""

    site: Site
    find: FindResource
    upstream: RegisteredUpstream
    cookies: BrowserCookies
    sessions: Sessions
    emit: Emit = ignore

    purpose: ClassVar[Purpose] = "site"

    def login(self, request: Request, state: str, *, now: int) -> BrowserLogin | None:
        return self.cookies.logins.get(request, state, now=now)

    def forget(self, response: Response, login: BrowserLogin, /) -> None:
        self.cookies.logins.clear(response, login.state)

    def wanted(self, login: BrowserLogin, /) -> LoginRequest:
        return login_request(login, self._resource(login), self.upstream, self.site)

    async def welcome(self, arrival: Arrival[BrowserLogin], /) -> Response:
        """A session of its own, in place of the one that this browser may have had."""
        resource = self._resource(arrival.login)
        before = self.cookies.session(arrival.request.scope["headers"], resource)
        if before is not None:
            await self.sessions.forget(before)
        login = Consent(
            client_id=browser_client(resource.path),
            resource=resource.identifier,
            scopes=resource.session_scopes,
            identity=arrival.who,
            created_at=arrival.now,
        )
        secret = await self.sessions.begin(login, arrival.tokens)
        response = self.onward(arrival.login)
        self.cookies.set_session(response, resource, secret)
        party = replace(self.party(arrival.login, arrival.who), grant=grant_id(store_key(secret)))
        self.emit(LoggedIn(party=party, purpose=self.purpose, scopes=login.scopes))
        return response

    def party(self, login: BrowserLogin, who: Identity | None, /) -> Party:
        return Party(
            subject=None if who is None else Subject(who.issuer, who.subject),
            client_id=browser_client(login.resource),
            resource=self.site.issuer + login.resource.rstrip("/"),
            provider=self.upstream.name,
        )

    def onward(self, login: BrowserLogin, /) -> Response:
        origin = self.site.issuer.removesuffix(self.site.base_path)
        return RedirectResponse(origin + login.address, status_code=303, headers=NO_STORE)

    def again(self, login: BrowserLogin, /) -> str:
        return sign_in_path(self.site, login.address, login.upstream)

    def with_another_account(self, login: BrowserLogin, /) -> str:
        return sign_in_path(self.site, login.address, login.upstream, choose=True)

    def _resource(self, login: BrowserLogin) -> Resource:
        """The resource that the login began at. The settings may have changed meanwhile."""
        resource = resource_of(login.address, self.find)
        if resource.path != login.resource:
            raise NotFound("another resource is at this address now; go there again")
        return resource


def resource_of(address: str, find: FindResource) -> Resource:
    """The resource for browsers at *address*, a path and query.

    Raises `InvalidRequest` for any other text: nobody is sent elsewhere from here.
    """
    path = address.partition("?")[0]
    if len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise InvalidRequest("to must be a path of this server, and a query if need be")
    resource = find(path.encode())
    if resource is None or not resource.browser:
        raise InvalidRequest("to must be an address that is for browsers")
    return resource


def sign_in_path(site: Site, address: str, upstream: str, *, choose: bool = False) -> str:
    """Where a login at *upstream* begins that comes back to *address*."""
    query = {"to": address, "upstream": upstream} | ({"account": "other"} if choose else {})
    return f"{site.base_path}/{SIGN_IN.name}?{urlencode(query, safe='/')}"


def login_request(
    login: BrowserLogin, resource: Resource, upstream: RegisteredUpstream, site: Site
) -> LoginRequest:
    """The login as it is requested from the provider."""
    return LoginRequest(
        redirect_uri=site.issuer + upstream.callback,
        state=login.state,
        nonce=login.nonce,
        code_verifier=login.code_verifier,
        parameters=LoginParameters(prompt="select_account" if login.choose else None),
        scopes=site.upstream_scopes_for(resource.session_scopes, upstream.upstream.more_scopes),
    )
