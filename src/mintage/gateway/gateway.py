"""The gateway: from a request's path to its backend, through the guard."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import AccessDenied, InvalidToken, NotFound
from mintage.gateway.access_guard import AccessGuard, PageOf, Screened
from mintage.gateway.backend import Backend, Sessions
from mintage.gateway.headers import RawHeaders, of_the_client, to_backend
from mintage.gateway.heads import Head, Keep
from mintage.gateway.http1.connection import BackendError
from mintage.gateway.http1.pool import Pool
from mintage.gateway.http1.request import ClientGone
from mintage.gateway.incoming import Incoming
from mintage.gateway.list_answers import ListFilter, asking_for_plain
from mintage.gateway.paths import Match, begins_like_ours, route
from mintage.gateway.proven import with_next_nonce
from mintage.gateway.proxy import Course, Proxy
from mintage.gateway.watch import Check, Sending
from mintage.resource.bearer import Access, NoToken
from mintage.site.resource import Resource
from mintage.web.cors import for_any_origin
from mintage.web.edge import REFERENCE, error_response, failure_of
from mintage.web.references import referring

PageAbout: TypeAlias = Callable[[Request, Resource, Response], Response]
"""(request without a token, its resource, the refusal) → what is sent: a page for a browser."""

_CHALLENGE: Final = "www-authenticate"
_LENGTH: Final = b"content-length"
_REFERENCE: Final = b"x-request-id"
_MAX_FOUND: Final = 512  # paths whose resource is remembered: most requests go to few


class Judged(msgspec.Struct):
    """What the head of a request says, as far as it was judged. It is not changed once it is kept.

    *found*: what it is for. *screened*: see `AccessGuard.screen`. *course*: where it goes; None for
    what a command serves. *is_wrapped*: whether what is answered may have to be changed.
    """

    found: Match[Backend]
    is_wrapped: bool
    screened: Screened | None = None
    course: Course | None = None

    @classmethod
    def at(cls, found: Match[Backend]) -> Self:
        """Nothing was judged yet but the path."""
        resource = found.target.resource
        return cls(found, _is_exchanged(resource) or resource.filter_lists)


class _StillGood(msgspec.Struct, frozen=True):
    """The check of a response under way. A partial takes four times the memory, for as long."""

    gateway: "Gateway"
    scope: Scope
    found: Match[Backend]
    incoming: Incoming | None

    def __call__(self) -> Awaitable[Access]:
        return self.gateway.access_now(self.scope, self.found, self.incoming)


@dataclass(frozen=True, slots=True)
class Gateway:
    """An ASGI app for the paths of its *resources*; `find` tells which of those it serves.

    *page*: what a browser without a token gets to see in place of a refusal. *for_people*: the same
    at resources that people use with a browser.
    """

    resources: Mapping[str, Backend]
    proxy: Proxy
    guard: AccessGuard
    page: PageAbout | None = None
    for_people: PageOf | None = None
    _found: BoundedMemory[bytes, Match[Backend]] = field(
        default_factory=lambda: BoundedMemory(_MAX_FOUND), init=False, repr=False
    )
    _later: "list[Gateway]" = field(default_factory=list, init=False, repr=False)
    _public: SplitResult = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_public", urlsplit(self.guard.site.issuer))

    def find(self, raw_path: bytes) -> Match[Backend] | None:
        """The backend of a request path, or None if there is none.

        Raises `InvalidRequest` for a path that two servers could read differently.
        """
        if (found := self._found.get(raw_path)) is not None:
            return found
        found = self.resource_at(raw_path)
        if found is None or not found.target.answers:
            return None
        self._found[raw_path] = found
        return found

    def resource_at(self, raw_path: bytes) -> Match[Backend] | None:
        """The resource of a request path, whatever serves it. Raises as `find` does.

        A resource at ``/`` does not get paths that begin like an endpoint of Mintage: an endpoint
        that is disabled must not lead anywhere else.
        """
        found = route(raw_path, self.resources, lambda backend: backend.resource.ambiguities)
        if found is None or (found.target.resource.is_whole_site and begins_like_ours(found.rest)):
            return None
        return found

    @property
    def sessions(self) -> Mapping[str, Sessions]:
        """The sessions of the commands that Mintage runs, by the paths of their resources."""
        return {
            backend.resource.path: backend.sessions
            for backend in self.resources.values()
            if backend.sessions is not None
        }

    def drain(self) -> None:
        """End the streams that would never end by themselves."""
        self.proxy.drain()
        for sessions in self.sessions.values():
            sessions.drain()

    def hand_over(self, successor: "Gateway") -> None:
        """Finish responses under way, but judge them by *successor*, which has newer settings.

        Sessions of commands that *successor* does not continue are ended.
        """
        self._later.append(successor)
        kept = list(successor.sessions.values())
        for sessions in self.sessions.values():
            if sessions not in kept:
                sessions.drain()

    async def answer(
        self,
        judged: Judged,
        head: Head,
        scope: Scope,
        receive: Receive,
        send: Send,
        keep: Keep | None = None,
    ) -> None:
        """Answer an HTTP request.

        *judged*: of another request with the same *head*. If nothing was yet but where it goes,
        *keep* is called with what was, unless the request is refused.
        """
        found = judged.found
        backend, (incoming, outward) = found.target, (Incoming(receive), send)
        resource = backend.resource
        still_good = _StillGood(self, scope, found, incoming)
        try:
            if keep is not None:
                judged.screened = self.guard.screen(
                    scope["headers"], resource, method=scope["method"], path=found.rest
                )
            guard, screened = self.guard, judged.screened
            access = guard.at_hand(screened, resource)
            if access is None:
                access = await guard.admit(
                    scope["headers"],
                    resource,
                    method=scope["method"],
                    path=found.rest,
                    incoming=incoming,
                    screened=screened,
                )
                receive = incoming.onward
            if access.next_nonce is not None:
                send = with_next_nonce(send, access.next_nonce)
            if judged.is_wrapped:
                send = self._wrapped(scope, receive, referring(send), found, access)
            if keep is not None:
                if backend.sessions is None:
                    judged.course = self._course(scope, head, found)
                keep(self.answer, judged)
            if (course := judged.course) is None:
                return await self._in_a_session(still_good, scope, receive, send, backend, access)
            proxy = self.proxy
            credentials = proxy.credentials
            forwarding = proxy.forward(
                course,
                course.body(receive, head.varying.get(_LENGTH)),
                credentials.at_hand(access, resource) or await credentials.of(access, resource),
                _own(scope, head, backend.passing.lets),
                scope,
                send,
                user=access.user,
                check=still_good,
                by_cookie=access.by_cookie,
                refers=not judged.is_wrapped,
            )
            # Or a stream would keep them to its end: the grant, with all its tokens, for one.
            del access, head, keep
            await forwarding
        except ClientGone:
            return None
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            response = self._refused(error, Request(scope), backend)
            await response(scope, receive, for_any_origin(referring(outward)))

    def _refused(self, error: Exception, request: Request, backend: Backend) -> Response:
        """As `refusal`, or a page for a browser without a token where only programs have one."""
        response = self.refusal(error, request, backend)
        if isinstance(error, NoToken) and self.page is not None and not backend.resource.browser:
            return self.page(request, backend.resource, response)
        return response

    def _course(self, scope: Scope, head: Head, found: Match[Backend]) -> Course:
        """Where the request goes, in the form that was judged."""
        backend, client = found.target, scope.get("client")
        filters = backend.resource.filter_lists
        return self.proxy.course(
            backend.resource,
            _way_to(backend),
            found.rest,
            scope.get("query_string", b""),
            scope["method"],
            of_the_client(
                asking_for_plain(head.same) if filters else head.same,
                client_host=client[0] if client else None,
                scheme=self._public.scheme,
                host=self._public.netloc,
                passing=backend.passing,
            ),
            head.same,
        )

    async def _in_a_session(
        self,
        check: Check,
        scope: Scope,
        receive: Receive,
        send: Send,
        backend: Backend,
        access: Access,
    ) -> None:
        assert backend.sessions is not None  # noqa: S101  (otherwise it has a course)
        app = _with_access(backend.sessions, access)
        shared = for_any_origin(referring(send))
        await Sending(self.proxy.watch, check).run(app, scope, receive, shared)

    def _wrapped(
        self, scope: Scope, receive: Receive, send: Send, found: Match[Backend], access: Access
    ) -> Send:
        """*send*, which changes what a backend answers that is not simply passed on."""
        resource = found.target.resource
        if _is_exchanged(resource):
            send = self._hearing_refusals(scope, send, found, access)
        if resource.filter_lists:
            send = self._filtering(scope, receive, send, found, access)
        return send

    async def relay_websocket(
        self, scope: Scope, receive: Receive, send: Send, *, found: Match[Backend]
    ) -> None:
        """The same for a WebSocket, which begins as an ordinary request (RFC 6455 §4.1)."""
        from mintage.gateway.websocket import Declined, WebSocketProxy

        asked = {**scope, "type": "http", "method": "GET"}
        websocket = WebSocketProxy(scope, receive, send)
        still_good = _StillGood(self, asked, found, None)
        try:
            access = await self._access(asked, found, None)
            headers = await self._headers(asked, found, access)
            pool = _way_to(found.target)
            await websocket.relay(pool, found.rest, headers, access.user, still_good)
        except Declined as declined:
            pool, resource = _way_to(found.target), found.target.resource
            response = declined.response(pool, found.rest, resource.identifier)
            if response.status_code == HTTPStatus.UNAUTHORIZED and _is_exchanged(resource):
                response.headers[_CHALLENGE] = self._refused_there(asked, resource, access)
            await websocket.refuse(response)
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            await websocket.refuse(self.refusal(error, Request(asked), found.target))

    async def _access(
        self,
        scope: Scope,
        found: Match[Backend],
        incoming: Incoming | None,
        *,
        again: bool = False,
    ) -> Access:
        """*incoming*: None for a WebSocket. *again*: its response is under way."""
        return await self.guard.admit(
            scope["headers"],
            found.target.resource,
            method=scope["method"],
            path=found.rest,
            incoming=incoming,
            websocket=incoming is None,
            again=again,
        )

    async def access_now(
        self, scope: Scope, found: Match[Backend], incoming: Incoming | None
    ) -> Access:
        """As `_access`, for a response under way, and by the newest settings."""
        newest = self
        while newest._later:
            newest = newest._later[-1]
        if newest is self:
            return await self._access(scope, found, incoming, again=True)
        there = newest.resource_at(scope.get("raw_path") or scope["path"].encode())
        if there is None:
            raise AccessDenied(
                "this resource is not here any more; ask the operator of this server",
                reason="the settings have no resource at this path any more",
                stage="rules",
            )
        return await newest._access(scope, there, incoming, again=True)  # noqa: SLF001  (its own kind)

    def _filtering(
        self, scope: Scope, receive: Receive, send: Send, found: Match[Backend], access: Access
    ) -> ListFilter:
        """*send*, which removes from lists of tools what *access* may not call."""

        async def refuse(error: BackendError) -> None:
            response = self.refusal(error, Request(scope), found.target)
            await response(scope, receive, for_any_origin(send))

        may_call = self.guard.may_call(access, found.target.resource, found.rest)
        return ListFilter(send, may_call, refuse, scope["method"], scope["path"])

    def _hearing_refusals(
        self, scope: Scope, send: Send, found: Match[Backend], access: Access
    ) -> Send:
        """*send*, for a backend that may refuse the token that Mintage got for it elsewhere.

        The client knows nothing of that token. It is told to ask here again, and not where the
        backend would have it log in.
        """
        resource = found.target.resource

        async def told(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
                and message["status"] == HTTPStatus.UNAUTHORIZED
            ):
                ours = self._refused_there(scope, resource, access)
                theirs = [each for each in message["headers"] if each[0] != _CHALLENGE.encode()]
                headers = [*theirs, (_CHALLENGE.encode(), ours.encode())]
                message = {**message, "headers": headers}
            await send(message)

        return told

    def _refused_there(self, scope: Scope, resource: Resource, access: Access) -> str:
        """The challenge for a client whose exchanged token the backend of *resource* refused."""
        self.proxy.credentials.refused(access, resource)
        error = InvalidToken(
            "the backend does not take the token that this server got for it; send the request "
            "again",
            reason="the backend refused the exchanged token",
            stage="upstream",
        )
        refusal = self.guard.refusal(error, Request(scope), resource, slash=False)
        return refusal.headers[_CHALLENGE]

    async def _headers(self, scope: Scope, found: Match[Backend], access: Access) -> RawHeaders:
        """The headers for the backend. Raises `MintageError` if its credential is not to be had."""
        told = await self.proxy.credentials.of(access, found.target.resource)
        client = scope.get("client")
        filters = found.target.resource.filter_lists
        return to_backend(
            asking_for_plain(scope["headers"]) if filters else scope["headers"],
            identity=told.identity,
            authorization=told.authorization,
            client_host=client[0] if client else None,
            scheme=self._public.scheme,
            host=self._public.netloc,
            passing=found.target.passing,
        )

    def refusal(self, error: Exception, request: Request, backend: Backend | None) -> Response:
        """The response for *error* to *request*; *backend* is the one it was for, if known."""
        if backend is None:
            return error_response(failure_of(error, request, self.guard.random_bytes))
        if isinstance(error, BackendError) and backend.pool is not None:
            error.reason = _told(error, backend.pool)
        at = urlsplit(backend.resource.identifier).path
        slash = request.scope["path"] == f"{at}/"
        page = self.for_people if backend.resource.browser else None
        response = self.guard.refusal(error, request, backend.resource, slash=slash, page=page)
        if isinstance(error, BackendError):
            response.headers["retry-after"] = "5"
        return response


def _told(error: BackendError, pool: Pool) -> str:
    """What went wrong with the backend, and at which address, for the log."""
    cause = error.__cause__
    because = "" if cause is None else f" ({str(cause) or type(cause).__name__})"
    return f"{pool.where}: {error.reason or error.advice}{because}"


def _with_access(sessions: Sessions, access: Access) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sessions(scope, receive, send, access)

    return app


def _own(scope: Scope, head: Head, lets: Mapping[bytes, bool]) -> RawHeaders:
    """The headers for the backend that are this request's own, of those that it *lets* pass."""
    own = [header for header in head.varying.items() if lets[header[0]]] if head.varying else []
    if lets[_REFERENCE]:
        own.append((_REFERENCE, scope[REFERENCE].encode()))
    return own


def _way_to(backend: Backend) -> Pool:
    if backend.pool is None:
        raise NotFound("another proxy serves this resource; use its address")
    return backend.pool


def _is_exchanged(resource: Resource) -> bool:
    """Whether the backend gets a token that Mintage got for this backend alone."""
    return resource.credential in ("exchange", "id_jag")
