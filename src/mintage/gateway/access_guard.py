"""Decides whether a request to a protected resource may pass, and makes every refusal.

In the gateway it protects the backends, and in an integration the application's own routes.
"""

import re
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.access.scopes import Call, reads_messages
from mintage.concurrency.rate_limits import no_limit
from mintage.errors import (
    AccessDenied,
    InsufficientScope,
    InvalidDpopProof,
    InvalidRequest,
    InvalidToken,
    OAuthError,
)
from mintage.gateway.browser_sessions import BrowserSessions
from mintage.gateway.header_names import check_connection
from mintage.gateway.headers import RawHeaders, check_framing
from mintage.gateway.incoming import Incoming
from mintage.gateway.mcp_headers import (
    HEADER_MISMATCH,
    MCP_HEADERS,
    HeaderMismatch,
    check_agreement,
    check_is_json,
    check_once,
    mirrored,
)
from mintage.gateway.origins import Origins
from mintage.resource.bearer import BEARER, DPOP, Access, Bearer, NoToken, credential
from mintage.resource.challenges import challenge
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.values import RandomBytes
from mintage.web.edge import Failure, error_response, failure_of, json_response

_METHOD: Final = re.compile(r"[A-Z]+(?:-[A-Z]+)*")
_USUAL_METHODS: Final = frozenset({"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"})
_USUAL_CONNECTIONS: Final = frozenset({b"keep-alive", b"close"})
_CHALLENGED: Final = (NoToken, InvalidToken, InsufficientScope, InvalidRequest, InvalidDpopProof)
_JUDGED: Final = MCP_HEADERS | {b"connection", b"content-length", b"transfer-encoding"}


PageOf: TypeAlias = Callable[[Failure, Request, Resource], Response | None]
Check: TypeAlias = Callable[
    [RawHeaders, Resource, Sequence[Call], str, str, bool], Awaitable[Access]
]
"""(headers, resource, calls, method, path below the resource, whether it was admitted before)"""


class Screened(msgspec.Struct, frozen=True):
    """What `AccessGuard.screen` found in the head of a request that it did not refuse.

    *token*: the bearer token that decides alone; None if the headers are needed each time: for a
    session's cookie (*by_cookie*), a proof of a key, or messages. *calls*: what the rules compare.
    *reads*: whether a rule needs the MCP message in the body.
    """

    token: str | None
    calls: tuple[Call, ...]
    by_cookie: bool
    reads: bool

    def __repr__(self) -> str:
        return f"Screened({self.calls!r})"  # no token in a log


class AccessGuard(msgspec.Struct, frozen=True):
    """One object for all resources of a server. *browsers*: None if no resource is for them."""

    site: Site
    bearer: Bearer
    origins: Origins
    random_bytes: RandomBytes
    browsers: BrowserSessions | None = None
    limit: Callable[[Hashable], None] = no_limit

    async def admit(
        self,
        headers: RawHeaders,
        resource: Resource,
        *,
        method: str,
        path: str,
        incoming: Incoming | None,
        websocket: bool = False,
        again: bool = False,
        screened: Screened | None = None,
    ) -> Access:
        """The access of a request; *path* is relative to the resource's own.

        Raises `MintageError` to refuse it. It checks the page that the request comes from, its
        headers, its token and the rules of *resource*, in this order. *incoming*: its body, which
        is read if a rule needs the MCP message; None if another proxy has the body. *again*: it was
        admitted before, and its response is under way; it is then not counted again. *limit* counts
        requests by user and resource. *screened*: what `screen` returned for the same request, or
        for an earlier one with the same method, path and headers.
        """
        if screened is None:
            screened = AccessGuard.screen(self, headers, resource, method=method, path=path)
        access = AccessGuard.at_hand(self, screened, resource, again)
        if access is not None:
            return access
        if screened.token is None:
            access = await self._checked(
                screened,
                headers,
                resource,
                method=method,
                path=path,
                incoming=incoming,
                websocket=websocket,
                again=again,
            )
        else:
            access = await self.bearer.check_token(screened.token, resource, screened.calls)
        if not again:
            self._count(access, resource)
        return access

    def at_hand(
        self,
        screened: Screened | None,
        resource: Resource,
        again: bool = False,  # noqa: FBT001, FBT002  (by position: a request pays for each name)
    ) -> Access | None:
        """What `admit` returns or raises, if nothing need be read for it. Otherwise None."""
        if screened is None or screened.token is None:
            return None
        access = self.bearer.at_hand(screened.token, resource, screened.calls)
        if access is not None and not again:
            self._count(access, resource)
        return access

    def _count(self, access: Access, resource: Resource) -> None:
        who = access.opened.grant.login.identity
        self.limit((resource.path, who.issuer, who.subject))

    def screen(
        self, headers: RawHeaders, resource: Resource, *, method: str, path: str
    ) -> Screened:
        """All of `admit` that depends on nothing but its arguments, and not on the grant.

        Raises as `admit` does.
        """
        by_cookie = self.browsers is not None and self.browsers.serve(headers, resource)
        if not by_cookie:
            self._check_page(headers)
        _check_head(headers, method)
        calls: tuple[Call, ...] = ()
        token, reads = None, False
        if resource.rules:
            call = Call(method=method, path=path)
            calls, reads = (call,), reads_messages(resource.rules, call)
        if not (by_cookie or reads):
            scheme, sent = credential(headers)
            token = sent if scheme is BEARER else None
        return Screened(token, calls, by_cookie, reads)

    def _check_page(self, headers: RawHeaders) -> None:
        if not self.origins.accept(headers):
            raise AccessDenied(
                "pages of this origin may not call this server; its operator may allow them",
                reason="unknown Origin",
                stage="request",
            )

    async def _checked(
        self,
        screened: Screened,
        headers: RawHeaders,
        resource: Resource,
        *,
        method: str,
        path: str,
        incoming: Incoming | None,
        websocket: bool,
        again: bool,
    ) -> Access:
        """The access of a request of which a bearer token alone does not decide."""
        check: Check = self.bearer.check
        if screened.by_cookie and self.browsers is not None:
            check = self.browsers.at(method, websocket=websocket, counts=not again)
        if not screened.reads:
            return await check(headers, resource, screened.calls, method, path, again)
        [call] = screened.calls
        if websocket:
            raise AccessDenied(
                "no WebSocket may be opened here: use MCP's Streamable HTTP",
                reason="a rule asks for MCP, and messages in a WebSocket are not read",
                stage="rules",
            )
        if incoming is None:
            return await self._by_headers(check, headers, resource, call, again=again)
        # A client without access can't make Mintage read a body.
        access = await check(headers, resource, (call,), method, path, again)
        if method != "POST":
            await incoming.check_empty()
            return access
        calls = await _calls(headers, resource, call, incoming)
        return await check(headers, resource, calls, method, path, True)  # noqa: FBT003

    async def _by_headers(
        self, check: Check, headers: RawHeaders, resource: Resource, call: Call, *, again: bool
    ) -> Access:
        """The calls of a request whose body another proxy keeps."""
        if not resource.trusts_mcp_headers:
            raise AccessDenied(
                "this request can't be judged here; ask the operator of this server",
                reason="a rule asks for MCP, and the proxy that asks did not send the body",
                stage="rules",
            )
        operation, name = mirrored(headers, method=call.method)
        named = call.naming(operation, () if name is None else (name,))
        return await check(headers, resource, (named,), call.method, call.path, again)

    def may_call(self, access: Access, resource: Resource, path: str) -> Callable[[str, str], bool]:
        """A function that tells whether *access* allows a call by MCP method and name.

        It takes the method and the name, as ``tools/call`` and ``drop_users``.
        """
        call = Call(method="POST", path=path)
        return lambda operation, name: self.bearer.allows(
            access, resource, call.naming(operation, (name,))
        )

    def refusal(
        self,
        error: Exception,
        request: Request,
        resource: Resource,
        *,
        slash: bool,
        page: PageOf | None = None,
    ) -> Response:
        """The response for *error*. *slash*: the request's path was the resource's and a slash.

        *page*: the response for a person, if one sent the request.
        """
        failure = failure_of(error, request, self.random_bytes)
        response = None if page is None else page(failure, request, resource)
        response = response or _as_json_rpc(failure) or error_response(failure)
        if isinstance(response, RedirectResponse):
            return response
        if isinstance(failure.error, _CHALLENGED):
            named: OAuthError | None = failure.error
            if isinstance(failure.error, NoToken):
                named = None
            metadata = self.site.metadata_url(resource)
            if slash:
                metadata += "/"  # strict clients compare its "resource" with the URL that they use
            response.headers["www-authenticate"] = challenge(
                resource, metadata, named, dpop=_has_scheme_dpop(request)
            )
        return response


def _has_scheme_dpop(request: Request) -> bool:
    """Whether the client sent its token with the scheme ``DPoP``."""
    return request.headers.get("authorization", "").lower().startswith(f"{DPOP} ")


def _check_head(headers: RawHeaders, method: str) -> None:
    """Refuse a request that the backend could read differently from what was checked."""
    if method not in _USUAL_METHODS and not _METHOD.fullmatch(method):
        raise AccessDenied(
            "write the method in capital letters, like POST",
            reason=f"method {method[:32]!r}",
            stage="request",
        )
    judged = [header for header in headers if header[0] in _JUDGED]
    if not _is_usual(judged):
        check_framing(judged)
        check_connection(value for name, value in judged if name == b"connection")
        check_once([name for name, _ in judged if name in MCP_HEADERS])


def _is_usual(judged: RawHeaders) -> bool:
    """Whether *judged* are what nearly all clients send. Then nothing more needs checking."""
    names = set()
    for name, value in judged:
        if name == b"connection":
            if value not in _USUAL_CONNECTIONS:
                return False
        elif name == b"transfer-encoding" or (name == b"content-length" and not value.isdigit()):
            return False
        names.add(name)
    return len(names) == len(judged)


async def _calls(
    headers: RawHeaders, resource: Resource, call: Call, incoming: Incoming
) -> tuple[Call, ...]:
    """What the messages in the body ask for. The headers must say the same."""
    check_is_json(headers)
    messages = await incoming.messages(resource.message_bytes)
    check_agreement(headers, messages)
    return tuple(call.naming(message.method, message.names) for message in messages)


def _as_json_rpc(failure: Failure) -> Response | None:
    """MCP's response if headers differ from the body; None for other failures."""
    if not isinstance(failure.error, HeaderMismatch):
        return None
    said = {"code": HEADER_MISMATCH, "message": failure.error.description}
    body = {"jsonrpc": "2.0", "id": failure.error.id, "error": said}
    return json_response(body, status=failure.error.status, headers=failure.headers)
