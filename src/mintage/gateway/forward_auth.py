"""Answers another proxy: may this request pass, and which headers does its backend get?

nginx (``auth_request``), Traefik (ForwardAuth), Caddy (``forward_auth``), HAProxy (a script in
the manual) and Envoy (``ext_authz``) ask here before they forward a request. They describe it.
Only the headers that they leave as the client sent them (``Authorization``, ``Origin``, ``Mcp-*``)
are the client's own.

The answer is 200 with the headers for the backend; 401 or 403 with the challenge for the client; or
5xx if nothing is known, which is no refusal. Proxies understand no other status, except for the
redirect of a browser to its login.
"""

import logging
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from itertools import chain
from typing import Final, Literal, NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import AccessDenied, OAuthError
from mintage.gateway.backend import Backend
from mintage.gateway.credentials import IDENTITY_HEADER
from mintage.gateway.gateway import Gateway
from mintage.gateway.headers import TELLING, RawHeaders, other_cookies
from mintage.gateway.heads import Head, Keep
from mintage.gateway.incoming import Incoming
from mintage.gateway.kept_answers import KEEPS_NOTHING, WORTH_KEEPING, Keeping
from mintage.gateway.paths import Match, check_needs_no_decoding
from mintage.gateway.peers import Peers, is_local
from mintage.gateway.proxy import NEVER_PASSED
from mintage.gateway.questions import Question, opens_a_websocket
from mintage.grants.handles import store_key
from mintage.resource.bearer import Access
from mintage.web.cors import for_any_origin, is_preflight
from mintage.web.limits import check_size
from mintage.web.references import reference_of_response, referring

Asker: TypeAlias = Literal["nginx", "traefik", "caddy", "haproxy", "envoy"]

# One way for each: a header that this proxy does not set, a client could.
_HEADERS: Final[Mapping[Asker, tuple[bytes, bytes]]] = {
    "nginx": (b"x-original-method", b"x-original-uri"),
    "traefik": (b"x-forwarded-method", b"x-forwarded-uri"),
    "caddy": (b"x-forwarded-method", b"x-forwarded-uri"),
    "haproxy": (b"x-original-method", b"x-original-uri"),
}
# Each answer holds all of these, empty where there is nothing to say: some proxies copy a header
# that is not there as the client sent it, or as a text that is the same for all users. Only nginx
# copies no header that its configuration does not set from the answer. It would read the empty
# ones at each request, so it gets none.
ANSWERED: Final = (*TELLING, IDENTITY_HEADER, "authorization")
# Where a person signs in, for nginx.
SIGN_IN_HEADER: Final = "x-mintage-sign-in"
_TOKEN_NAME: Final = IDENTITY_HEADER.encode()
_NO_AUTHORIZATION: Final = (b"authorization", b"")
_USERS: Final = 1000  # whose header lines are kept
# What the manual's configurations hold, less what HTTP and the cookies of a front need.
MAX_ANSWER: Final = 60 * 1024  # bytes of all names and values
_NOTABLE: Final = 3 * 1024  # nginx holds 4 KiB in all, unless its configuration says otherwise
_ALLOWED: Final = 200
_EMPTY: Final = (b"content-length", b"0")
_NOT_KEPT: Final = [_EMPTY, (b"cache-control", b"no-store")]

# Envoy's header about a body that `with_request_body` makes it send.
_PARTIAL: Final = b"x-envoy-auth-partial-body"

log = logging.getLogger("mintage.gateway")


class AnswerTooLarge(AccessDenied):
    """No proxy accepts it, however often the client tries."""


class NotDescribed(OAuthError):
    """The proxy describes no request: its configuration is wrong."""

    status = 500
    stage = "request"


class _Told(NamedTuple):
    """Header lines that say who a user is, and their *size* as the proxy's limits count it."""

    headers: RawHeaders
    size: int


class ForwardAuth:
    """The endpoint at *path*. *asker* is the kind of proxy that may ask, *peers* which ones."""

    def __init__(
        self,
        gateway: Gateway,
        peers: Peers,
        asker: Asker,
        path: str,
        keeping: Keeping = KEEPS_NOTHING,
    ) -> None:
        self._gateway = gateway
        self._guard = gateway.guard
        self._credentials = gateway.proxy.credentials
        self._peers = peers
        self._asker = asker
        self._path = path
        # Only nginx is known to keep answers by a key that holds what it names.
        self._keeping = keeping if asker == "nginx" else KEEPS_NOTHING
        # The same few proxies ask about the same few paths. Refusals are not remembered.
        self._check_peer = lru_cache(maxsize=256)(self._look_at_peer)
        self._find = lru_cache(maxsize=512)(self._look_up)
        self._largest: dict[str, int] = {}
        self._tells_empty = asker != "nginx"
        self._empty = {name.encode(): b"" for name in TELLING if self._tells_empty}
        self._no_token = [(_TOKEN_NAME, b"")] if self._tells_empty else []
        self._no_authorization = [_NO_AUTHORIZATION] if self._tells_empty else []
        self._for_browsers = any(each.resource.browser for each in gateway.resources.values())
        self._told: BoundedMemory[tuple[object, ...], _Told] = BoundedMemory(_USERS)

    def answers_at(self, path: str) -> bool:
        """Whether *path* is its own. Envoy appends the path that it asks about."""
        below = self._asker == "envoy" and path.startswith(f"{self._path}/")
        return below or path == self._path

    def is_asked(self, scope: Scope) -> bool:
        """Whether this request is a question of a proxy.

        A browser's preflight request never is: proxies forward it without asking.
        """
        if scope["path"] == self._path and scope["method"] == "GET":  # as nearly all ask
            return True
        return self.answers_at(scope["path"]) and not is_preflight(scope)

    async def answer(
        self,
        known: Question | None,
        _: Head,
        scope: Scope,
        receive: Receive,
        send: Send,
        keep: Keep | None = None,
    ) -> None:
        """Answer a question.

        *known*: what the same peer asked before with the same head. If it is None, *keep* is
        called with what was judged, unless the request in question is refused.
        """
        question = known
        try:
            if question is None:
                client = scope.get("client")
                self._check_peer(client[0] if client else None)
                check_size(scope)
                question = self._question(scope)
                self._judge(question, scope["headers"])
            headers = await self._allowed(question, scope, receive)
            if keep is not None and not question.websocket:
                keep(self.answer, question)
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            request = Request(scope if question is None else self._in_question(scope, question))
            backend = None if question is None else question.backend
            response = self._gateway.refusal(error, request, backend)
            known_to_it = _known_to_proxies(response, self._asker)
            return await known_to_it(scope, receive, for_any_origin(referring(send)))
        headers += reference_of_response(_ALLOWED)
        await send({"type": "http.response.start", "status": _ALLOWED, "headers": headers})
        return await send({"type": "http.response.body", "body": b""})

    def _judge(self, question: Question, headers: RawHeaders) -> None:
        """Find all that depends on nothing but *question* and its *headers*."""
        if question.method in NEVER_PASSED:
            raise AccessDenied(f"use another method than {question.method}", stage="request")
        found = self._find(question.path)
        question.backend, question.rest = found.target, found.rest
        resource = found.target.resource
        question.websocket = opens_a_websocket(headers)
        question.may_keep = self._keeping.may_keep(headers, resource)
        if self._asker == "envoy":
            _check_whole(headers)
        question.screened = self._guard.screen(
            headers, resource, method=question.method, path=found.rest
        )

    async def _allowed(self, question: Question, scope: Scope, receive: Receive) -> RawHeaders:
        """The headers for the backend. Raises what refuses the request in question."""
        screened, backend = question.screened, question.backend
        assert backend is not None  # noqa: S101  (`_judge` has found it, or refused)
        assert screened is not None  # noqa: S101
        resource = backend.resource
        guard = self._guard
        access = guard.at_hand(screened, resource) or await guard.admit(
            scope["headers"],
            resource,
            method=question.method,
            path=question.rest,
            incoming=None if screened.token is not None else self._body(scope, receive),
            websocket=question.websocket,
            screened=screened,
        )
        told = self._credentials.at_hand(access, resource)
        told = told or await self._credentials.of(access, resource)
        identity, authorization = told.identity, told.authorization
        token = self._no_token
        if identity and identity[-1][0] == _TOKEN_NAME:
            identity, token = identity[:-1], identity[-1:]
        lines, size = self._told.get((*identity,)) or self._tell(identity)
        if token is not self._no_token:
            size += len(_TOKEN_NAME) + len(token[0][1])
        if authorization is None:
            headers = [*lines, *token, *self._no_authorization]
        else:
            headers = [*lines, *token, (b"authorization", authorization.encode("latin-1"))]
            size += len("authorization") + len(authorization)
        if self._for_browsers:  # their proxy copies it, whatever resource it asks about
            cookies = other_cookies(scope["headers"]) if backend.resource.browser else ""
            if cookies or self._tells_empty:
                size += len(cookies)
                headers.append((b"cookie", cookies.encode("latin-1")))
        if access.next_nonce is not None:
            headers.append((b"dpop-nonce", access.next_nonce.encode("latin-1")))
        if size > _NOTABLE:
            self._measure(size, backend)
        headers += self._kept(access) if question.may_keep else _NOT_KEPT
        return headers

    def _tell(self, identity: RawHeaders) -> _Told:
        """What the answer for a user holds. It is kept: a user sends many requests.

        No token is, the provider's or ours: it would be in memory after the login has ended.
        """
        answered = self._empty | dict(identity)
        lines = [line for line in answered.items() if line[1] or self._tells_empty]
        told = _Told(lines, sum(map(len, chain.from_iterable(identity))))
        if told.size <= _NOTABLE:
            self._told[*identity,] = told
        return told

    def _body(self, scope: Scope, receive: Receive) -> Incoming | None:
        """The body of the request in question. Only Envoy sends it, if configured to."""
        sent = self._asker == "envoy" and any(name == _PARTIAL for name, _ in scope["headers"])
        return Incoming(receive) if sent else None

    def _kept(self, access: Access) -> RawHeaders:
        """What says how long the proxy may keep the answer."""
        vault, key = self._credentials.vault, store_key(access.opened.secret)
        now, fresh_for = self._credentials.clock(), vault.live.fresh_for(key)
        seconds = self._keeping.seconds(access, fresh_for=fresh_for, now=now)
        if not seconds:
            if fresh_for < WORTH_KEEPING:
                # So that the next answer can be kept, and not only the one after some more seconds.
                vault.live.look_again(key)
            return _NOT_KEPT
        # nginx takes the first of these. Any other cache must not keep the answer.
        return [
            (b"x-accel-expires", b"%d" % seconds),
            (b"cache-control", b"private, max-age=%d" % seconds),
            _EMPTY,
        ]

    def _measure(self, size: int, backend: Backend) -> None:
        """Raises `AnswerTooLarge`. A large answer is logged each time its size has doubled."""
        resource = backend.resource.identifier
        if size > MAX_ANSWER:
            raise AnswerTooLarge(
                "this login's token or groups are too large for the proxy in front; ask the "
                "operator of this server",
                reason=f"the answer for {resource} has {size} bytes, more than {MAX_ANSWER}",
            )
        if size > max(_NOTABLE, 2 * self._largest.get(resource, 0)):
            self._largest[resource] = size
            log.warning(
                "an answer for %s has %d bytes of headers: the %s that asks must have room for it, "
                "as in the manual",
                resource,
                size,
                self._asker,
            )

    def _look_at_peer(self, peer: str | None) -> None:
        if not is_local(peer) and not self._peers.trusts(peer):
            raise AccessDenied(
                "only a proxy in gateway.trusted_proxies, or on this machine, may ask here",
                reason=f"asked by {peer}",
                stage="request",
            )

    def _question(self, scope: Scope) -> Question:
        """The request in question, not judged yet."""
        if self._asker == "envoy":
            path = (scope.get("raw_path") or scope["path"].encode())[len(self._path) :]
            return Question(scope["method"], path, scope.get("query_string", b""))
        if scope["method"] != "GET":
            raise NotDescribed("a proxy asks with GET; this request came from elsewhere")
        for_method, for_target = _HEADERS[self._asker]
        methods, targets = [], []
        for name, value in scope["headers"]:
            if name == for_method:
                methods.append(value)
            elif name == for_target:
                targets.append(value)
        if len(methods) != 1 or len(targets) != 1:
            raise NotDescribed(
                f"the proxy must send {for_method.decode()} and {for_target.decode()}, each once: "
                "copy its configuration from the manual"
            )
        path, _, query = targets[0].partition(b"?")
        return Question(methods[0].decode("latin-1"), path, query)

    def _in_question(self, scope: Scope, question: Question) -> Scope:
        """A scope for the refusal and the log: the request in question, not the question."""
        client = self._peers.client_of(None, scope["headers"])  # who may ask is believed
        asked = {
            **scope,
            "method": question.method,
            "path": question.path.decode("latin-1"),
            "raw_path": question.path,
            "query_string": question.query,
        }
        return asked if client is None else {**asked, "client": (client, 0)}

    def _look_up(self, path: bytes) -> Match[Backend]:
        check_needs_no_decoding(path)
        found = self._gateway.resource_at(path)
        if found is None:
            raise AccessDenied("there is no resource at this path; check the address")
        return found


def _check_whole(headers: RawHeaders) -> None:
    """Refuse a request of whose body Envoy sent a part."""
    if any(name == _PARTIAL and value != b"false" for name, value in headers):
        raise AccessDenied(
            "the body is too long to be judged here; ask the operator of this server",
            reason="Envoy sent a part of the body: raise max_request_bytes",
        )


def _known_to_proxies(response: Response, asker: Asker) -> Response:
    """*response* with 403 for every other client error: nginx takes those for server errors.

    The way to the login is a redirect, which the other proxies pass on. nginx knows none: its
    configuration makes one of a header.
    """
    if isinstance(response, RedirectResponse):
        if asker != "nginx":
            return response
        headers = {SIGN_IN_HEADER: response.headers["location"], "cache-control": "no-store"}
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers=headers)
    ours = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if not ours and response.status_code != HTTPStatus.UNAUTHORIZED:
        response.status_code = HTTPStatus.FORBIDDEN
    return response
