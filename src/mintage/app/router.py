"""Finds the endpoint of a request, or passes it to the gateway."""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from functools import partial
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.app.requests import Requests, named
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.endpoints import VERIFY
from mintage.errors import NotFound, OAuthError
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway, Judged
from mintage.gateway.heads import Answer, Head, Keep, Known, KnownHeads, head_of_served, unkept_head
from mintage.gateway.peers import Peers
from mintage.server.about import About, for_page
from mintage.server.queries import kept_from_logs
from mintage.values import RandomBytes
from mintage.web.cors import PREFLIGHT, for_any_origin, is_preflight, readable
from mintage.web.current_request import CURRENT, RESOURCE, Tally, note_endpoint
from mintage.web.edge import Handler, error_response, failure_of
from mintage.web.limits import check_size
from mintage.web.references import referring
from mintage.web.repeated_heads import REPEATED, Repeated

_KEPT: Final = 1000  # heads of requests to the endpoints


class _Endpoint(msgspec.Struct, frozen=True):
    """What answers at a path: its *name* below the issuer, and whether people open it."""

    name: str
    handler: Handler
    is_page: bool


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """An ASGI app. *endpoints* are by path; *pages* are the ones that people open in a browser.

    *peers*: the proxies whose client addresses count. *forward_auth*: None if no proxy may ask.
    *tally_of*: who counts a request; None if nobody counts any.
    """

    endpoints: Mapping[str, Handler]
    pages: frozenset[str]
    gateway: Gateway
    peers: Peers
    forward_auth: ForwardAuth | None
    about: About
    requests: Requests
    random_bytes: RandomBytes
    tally_of: Callable[[Scope], Tally | None] | None
    known: KnownHeads = msgspec.field(default_factory=KnownHeads)
    _by_path: Mapping[str, _Endpoint] = msgspec.field(default_factory=dict)
    _served: BoundedMemory[tuple[Repeated, str | None], Known] = msgspec.field(
        default_factory=lambda: BoundedMemory(_KEPT)
    )  # what was found about a head that the server knows, as one peer sends it

    def __post_init__(self) -> None:
        base, forward_auth = self.about.site.base_path, self.forward_auth
        found = {
            path: _Endpoint(path.removeprefix(base).lstrip("/"), handler, path in self.pages)
            for path, handler in self.endpoints.items()
            if forward_auth is None or not forward_auth.answers_at(path)
        }
        msgspec.structs.force_setattr(self, "_by_path", found)

    def answers_at(self, path: str) -> bool:
        """Whether an endpoint of the server answers at *path*, and not a resource."""
        asked = self.forward_auth is not None and self.forward_auth.answers_at(path)
        return asked or path in self.endpoints

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer an HTTP request or a WebSocket."""
        if scope["type"] == "websocket":
            tally = self.tally_of and self.tally_of(scope)
            return self.requests(self._websocket, scope, receive, send, tally=tally)
        endpoint = self._by_path.get(scope["path"])
        if endpoint is not None:
            head, repeated = unkept_head(scope), scope.get(REPEATED)
            known = repeated and self._served.get((repeated, _peer_of(scope)))
            if known is not None:
                app = partial(known.answer, known.judged, head)
                return self.requests(app, scope, receive, send, head, known, names=False)
            app, tally = partial(self._serve, endpoint), self.tally_of and self.tally_of(scope)
            return self.requests(app, scope, receive, send, head, tally=tally, names=False)
        head = head_of_served(scope)
        known = self.known.get(head.key)
        if known is None:
            app, tally = partial(self._answer, head), self.tally_of and self.tally_of(scope)
            return self.requests(app, scope, receive, send, head, tally=tally, names=False)
        app = partial(known.answer, known.judged, head)
        return self.requests(app, scope, receive, send, head, known, names=False)

    def _answer(self, head: Head, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        forward_auth = self.forward_auth
        if forward_auth is not None and forward_auth.is_asked(scope):
            note_endpoint(VERIFY.name)
            keep = partial(self._keep, head, VERIFY.name, None)
            return forward_auth.answer(None, head, scope, receive, send, keep)
        if is_preflight(scope):
            return PREFLIGHT(scope, receive, referring(send))
        asked, scope = scope, self._from_the_client(scope)
        client = None if scope is asked else scope["client"]
        keep = partial(self._keep, head, RESOURCE, client)
        return self._forward(head, keep, scope, receive, send)

    def _keep(
        self, head: Head, endpoint: str, client: tuple[str, int] | None, answer: Answer, judged: Any
    ) -> None:
        """Remember what was judged of *head*, for requests that have the same."""
        request = CURRENT.get()
        address, tally = (None, None) if request is None else (request.address, request.tally)
        if client is not None:
            answer = partial(_answer_client, client, answer)
        self.known.keep(head, Known(answer, judged, endpoint, address, tally))

    def _from_the_client(self, scope: Scope) -> Scope:
        """*scope* with the client's address in place of a trusted proxy's."""
        peer = _peer_of(scope)
        if not self.peers.trusts(peer):
            return scope
        client = self.peers.client_of(peer, scope["headers"])
        return {**scope, "client": None if client is None else (client, 0)}

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Only the gateway has any; elsewhere it is closed with the code 1008."""
        scope = self._from_the_client(scope)
        note_endpoint(RESOURCE)
        try:
            check_size(scope)
            found = self.gateway.find(scope.get("raw_path") or scope["path"].encode())
        except OAuthError:
            found = None
        if found is None:
            return await send({"type": "websocket.close", "code": 1008})
        return await self.gateway.relay_websocket(scope, receive, send, found=found)

    def _serve(
        self, endpoint: _Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Answer a request to one of Mintage's own endpoints, of whose head nothing is known."""
        asked, scope = scope, self._from_the_client(scope)
        client = None if scope is asked else scope["client"]
        if endpoint.is_page:
            scope = {**scope, "query_string": kept_from_logs(asked).get("query_string", b"")}
        elif is_preflight(scope):
            answer = copy(PREFLIGHT)
            return named(answer, answer.raw_headers)(scope, receive, send)
        note_endpoint(endpoint.name)
        try:
            check_size(scope)
        except OAuthError as error:
            return self._refuse(endpoint, error, scope, receive, send)
        request, repeated = CURRENT.get(), asked.get(REPEATED)
        if not (endpoint.is_page or request is None or repeated is None):
            of = endpoint, client
            known = Known(self._respond, of, endpoint.name, request.address, request.tally)
            self._served[repeated, _peer_of(asked)] = known
        return self._respond((endpoint, None), None, scope, receive, send)

    async def _respond(
        self,
        of: tuple[_Endpoint, tuple[str, int] | None],
        _: Head | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a request whose head is no reason to refuse it.

        *of*: its endpoint, and the client's address if a trusted proxy has sent it.
        """
        endpoint, client = of
        if client is not None:
            scope = {**scope, "client": client}
        try:
            response = await endpoint.handler(Request(scope, receive))
        except OAuthError as error:
            return await self._refuse(endpoint, error, scope, receive, send)
        return await _named_at(endpoint, response)(scope, receive, send)

    def _refuse(
        self, endpoint: _Endpoint, error: OAuthError, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        response = error_response(failure_of(error, Request(scope), self.random_bytes))
        return _named_at(endpoint, response)(scope, receive, send)

    def _forward(
        self, head: Head, keep: Keep, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Pass the request on to the gateway, which sets CORS headers for each resource itself."""
        note_endpoint(RESOURCE)
        try:
            check_size(scope)
            raw_path = scope.get("raw_path") or scope["path"].encode()
            if (found := self.gateway.find(raw_path)) is None:
                raise NotFound("there is nothing at this path; check the address")
        except OAuthError as error:
            response = self._nothing_here(error, Request(scope))
            return response(scope, receive, for_any_origin(referring(send)))
        return self.gateway.answer(Judged.at(found), head, scope, receive, send, keep)

    def _nothing_here(self, error: OAuthError, request: Request) -> Response:
        """What is sent where nothing is served: a page to a browser; at the root, about us."""
        page = isinstance(error, NotFound) and for_page(request)
        if page and request.scope["path"].rstrip("/") == self.about.site.base_path:
            return self.about.server(request)
        failure = failure_of(error, request, self.random_bytes)
        return self.about.pages.error(request, failure) if page else error_response(failure)


def _named_at(endpoint: _Endpoint, response: Response) -> Response:
    """*response* of *endpoint*, with the reference of the request."""
    headers = response.raw_headers
    return named(response, headers if endpoint.is_page else readable(headers))


def _peer_of(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _answer_client(
    client: tuple[str, int],
    answer: Answer,
    judged: Any,
    head: Head,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> Awaitable[None]:
    """Answer *client*, whose request a trusted proxy has sent."""
    return answer(judged, head, {**scope, "client": client}, receive, send)
