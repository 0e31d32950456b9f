"""The edge between HTTP and all other code.

Requests are limited in size and parsed once. Responses, refusals included, are written in one place
for JSON (`for_clients`) and one for pages (`pages.for_browsers`).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.errors import (
    BadUpstream,
    ContentTooLarge,
    HalfKnown,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    MethodNotAllowed,
    OAuthError,
    SecretMissing,
    StoreError,
    TemporarilyUnavailable,
    TooManyRequests,
    UpstreamMisbehaved,
    UpstreamMisconfigured,
    UpstreamUnavailable,
    UseDpopNonce,
)
from mintage.values import RandomBytes
from mintage.web.current_request import FIELDS, note_refusal
from mintage.web.forms import Form, parse_form, parse_query

log = logging.getLogger("mintage.server")

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

MAX_BODY: Final = 64 * 1024
_JSON_TYPE: Final = (b"content-type", b"application/json")
_HTML_TYPE: Final = (b"content-type", b"text/html; charset=utf-8")
_OF_A_URL: Final = ":/%#?=@[]!$&'()*+,;"  # what Starlette's redirects do not escape either
_FORM_TYPE: Final = b"application/x-www-form-urlencoded"
_NOT_IN_A_QUERY: Final = frozenset(
    {
        "client_assertion",
        "client_secret",
        "code",
        "code_verifier",
        "device_code",
        "grant_type",
        "logout_token",
        "refresh_token",
        "token",
    }
)
SHORTLY: Final = 30  # seconds
REFERENCE: Final = "mintage.reference"
NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


async def read_body(request: Request, *, limit: int = MAX_BODY) -> bytes:
    """The body. It is refused with `ContentTooLarge` as soon as it exceeds *limit* bytes."""
    return await _body(request, _first_values(request), limit)


async def read_form(request: Request) -> Form:
    """The form of a POST (RFC 6749 §3.2). Secrets in the query are refused, not read."""
    scope = request.scope
    if scope["method"] != "POST":
        raise MethodNotAllowed("use POST", allow="POST")
    if scope.get("query_string") and not _NOT_IN_A_QUERY.isdisjoint(read_query(request)):
        raise InvalidRequest("send parameters in the body: a query ends up in logs")
    headers = _first_values(request)
    if not _has_type(headers, _FORM_TYPE):
        raise InvalidRequest(f"Content-Type must be {_FORM_TYPE.decode()}")
    return parse_form(await _body(request, headers))


async def read_json(request: Request) -> bytes:
    """The body of a POST that says it is JSON, not yet parsed."""
    if request.scope["method"] != "POST":
        raise MethodNotAllowed("use POST", allow="POST")
    headers = _first_values(request)
    if not _has_type(headers, b"application/json"):
        raise InvalidRequest("Content-Type must be application/json")
    return await _body(request, headers)


def authorization_of(request: Request) -> str | None:
    """The one ``Authorization`` header, or None. `InvalidRequest` if there are several."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    if b"authorization" not in dict(headers):
        return None
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) > 1:
        raise InvalidRequest("Authorization must be given once")
    return values[0].decode("latin-1")


def header_of(request: Request, name: bytes) -> str:
    """The first header *name*, which is in lower case; empty if there is none."""
    return _first_values(request).get(name, b"").decode("latin-1")


def check_get(request: Request) -> None:
    """Raises `MethodNotAllowed` for anything but a GET or HEAD."""
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("use GET", allow="GET, HEAD")


def read_query(request: Request) -> Form:
    return parse_query(request.scope.get("query_string", b""))


def _first_values(request: Request) -> dict[bytes, bytes]:
    """The first value of each header. The names are in lower case."""
    return dict(reversed(request.scope["headers"]))


async def _body(request: Request, headers: dict[bytes, bytes], limit: int = MAX_BODY) -> bytes:
    """The body of *request*, whose *headers* say how long it is: see `read_body`."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit():
        raise InvalidRequest("Content-Length must be a number")
    if int(declared[:20]) > limit:
        raise ContentTooLarge(f"the body must be at most {limit} bytes")
    parts: list[bytes] = []
    receive, size = request.receive, 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise ContentTooLarge(f"the body must be at most {limit} bytes")
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def _has_type(headers: dict[bytes, bytes], media_type: bytes) -> bool:
    """Whether the Content-Type among *headers* names *media_type*, with or without parameters."""
    value = headers.get(b"content-type", b"")
    return value == media_type or value.partition(b";")[0].strip().lower() == media_type


@lru_cache(maxsize=256)
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """*headers* as they will be sent. Nearly all responses have the same few."""
    return tuple((name.encode(), value.encode("latin-1")) for name, value in headers)


class _Made(Response):
    """It has all that is sent, and is sent without what Starlette does for all other contents."""

    background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a refused handshake of a WebSocket
            return await super().__call__(scope, receive, send)
        status, headers = self.status_code, self.raw_headers
        await send({"type": "http.response.start", "status": status, "headers": headers})
        return await send({"type": "http.response.body", "body": self.body})


class _Encoded(_Made):
    """A body as it will be sent."""

    def __init__(
        self,
        body: bytes,
        content_type: tuple[bytes, bytes],
        status: int,
        headers: Mapping[str, str],
    ) -> None:
        self.body, self.status_code = body, status
        self.raw_headers = [
            *_encoded((*headers.items(),)),
            (b"content-length", b"%d" % len(body)),
            content_type,
        ]


def json_response(
    content: Any, *, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS
) -> Response:
    """*content* as JSON. The names of *headers* are in lower case."""
    return _Encoded(msgspec.json.encode(content), _JSON_TYPE, status, headers)


class _Empty(_Made):
    """A response without a body."""

    body = b""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.raw_headers = [*_encoded((*headers.items(),)), (b"content-length", b"0")]


def empty_response(*, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """A response without a body. The names of *headers* are in lower case."""
    return _Empty(status, headers)


def see_other(url: str, *, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """A response that leads the browser to *url* by a GET (RFC 9110 §15.4.4)."""
    response = _Empty(HTTPStatus.SEE_OTHER.value, headers)
    location = quote(url, safe=_OF_A_URL)
    response.raw_headers.append((b"location", location.encode()))
    return response


def html_response(html: str, *, status: int, headers: Mapping[str, str]) -> Response:
    """*html* as a page. The names of *headers* are in lower case."""
    return _Encoded(html.encode(), _HTML_TYPE, status, headers)


class Failure(msgspec.Struct, frozen=True):
    """A refusal to send, and its reference in the log."""

    error: OAuthError
    reference: str

    @property
    def headers(self) -> dict[str, str]:
        headers = {**NO_STORE, "x-request-id": self.reference}
        match self.error:
            case TemporarilyUnavailable(retry_after=seconds) | TooManyRequests(retry_after=seconds):
                headers["retry-after"] = str(seconds)
            case MethodNotAllowed(allow=allow):
                headers["allow"] = allow
            case InvalidClient(challenge=True):
                headers["www-authenticate"] = 'Basic realm="mintage", charset="UTF-8"'
            case UseDpopNonce(nonce=nonce):
                headers["dpop-nonce"] = nonce
            case InvalidToken():
                headers["www-authenticate"] = 'Bearer realm="mintage", error="invalid_token"'
            case _:
                pass
        return headers


class ServerFault(OAuthError):
    """A bug in Mintage, as the client sees it."""

    code = "server_error"
    status = 500


class RightsUnknown(TemporarilyUnavailable):
    """The identity provider did not say all that decides whether the user may log in."""


def reference_of(request: Request, random_bytes: RandomBytes) -> str:
    """The request's id, which Mintage makes when it is first needed. It is never the client's."""
    scope = request.scope
    if (reference := scope.get(REFERENCE)) is None:
        reference = scope[REFERENCE] = random_bytes(6).hex()
    return str(reference)


def log_refusal(error: OAuthError, request: Request, *, level: int = logging.INFO) -> None:
    """The line in the log that says which check refused, and why. Clients don't see the reason."""
    grant = error.grant
    note_refusal(stage=error.stage, code=error.code, status=error.status, grant=grant)
    if isinstance(error, TooManyRequests) and error.repeated:
        level = logging.DEBUG
    elif error.status == HTTPStatus.INTERNAL_SERVER_ERROR:  # the operator's mistake
        level = max(level, logging.WARNING)
    log.log(
        level,
        "%s %s: %d %s, stage %s: %s",
        request.scope.get(REFERENCE, "-"),
        _where(request),
        error.status,
        error.code,
        error.stage,
        _one_line(error.reason or error.advice) + (f", grant {grant}" if grant else ""),
        extra=_of_grant(grant),
    )


def _of_grant(grant: str | None) -> dict[str, dict[str, str]] | None:
    """The member *grant* of a line of JSON."""
    return None if grant is None else {FIELDS: {"grant": grant}}


def log_reason(request: Request, what: str, *, grant: str | None = None) -> None:
    """Log *what* about a request that is answered with 200 all the same (RFC 7009, RFC 7662).

    *grant*: the one that *what* names.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    log.info(
        "%s %s: %s",
        request.scope.get(REFERENCE, "-"),
        _where(request),
        _one_line(what),
        extra=_of_grant(grant),
    )


def failure_of(
    error: Exception, request: Request, random_bytes: RandomBytes, *, level: int = logging.INFO
) -> Failure:
    """*error* as a refusal: what the client reads, and one line in the log that says more.

    An outage of Mintage or of the upstream is 503 or 502 with advice, never the client's fault.
    *level*: of the line about a client's or a user's mistake. It is WARNING if a user reads the
    reference: Python prints that level even if logging is not configured.
    """
    reference = reference_of(request, random_bytes)
    refusal = _refusal_of(error, request, reference, level)
    note_refusal(stage=refusal.stage, code=refusal.code, status=refusal.status, grant=refusal.grant)
    return Failure(refusal, reference)


def _refusal_of(error: Exception, request: Request, reference: str, level: int) -> OAuthError:
    """What the client reads. The line in the log is written here."""
    where = _where(request)
    refusal: OAuthError
    match error:
        case OAuthError():
            refusal = error
            log_refusal(error, request, level=level)
        case SecretMissing():
            refusal = TemporarilyUnavailable(
                "this server lacks a key that this login needs: keep your tokens, and tell the "
                "operator",
                retry_after=60,
                stage="store",
            )
            log.error("%s %s: 503, stage store: %s", reference, where, _one_line(str(error)))
        case StoreError():
            refusal = TemporarilyUnavailable(
                "the store is not available; try again shortly", stage="store"
            )
            log.error("%s %s: 503, stage store: %s", reference, where, _one_line(str(error)))
        case HalfKnown():
            refusal = RightsUnknown(
                "the identity provider did not name all of your groups and organizations, so this "
                "server can't know whether you may log in; ask its operator",
                retry_after=error.retry_after,
                stage="upstream",
            )
            log.warning("%s %s: 503, stage upstream: %s", reference, where, _one_line(str(error)))
        case UpstreamUnavailable():
            refusal = TemporarilyUnavailable(
                _when_to_return(error), retry_after=error.retry_after, stage="upstream"
            )
            log.warning("%s %s: 503, stage upstream: %s", reference, where, _one_line(str(error)))
        case UpstreamMisconfigured():
            refusal = BadUpstream(
                "this server and the identity provider are not set up for each other; trying again "
                "does not help: tell the operator of this server the reference"
            )
            log.error("%s %s: 502, stage upstream: %s", reference, where, _one_line(str(error)))
        case UpstreamMisbehaved():
            refusal = BadUpstream(
                "the identity provider gave an answer that can't be used; try again, or ask "
                "the operator of this server"
            )
            log.error("%s %s: 502, stage upstream: %s", reference, where, _one_line(str(error)))
        case _:
            log.error("%s %s: failed", reference, where, exc_info=error)
            refusal = ServerFault(
                f"this server failed: tell its operator the reference {reference}"
            )
    return refusal


def _when_to_return(error: UpstreamUnavailable) -> str:
    """What a user can do while the provider does not answer."""
    if error.retry_after > SHORTLY:
        minutes = minutes_of(error.retry_after)
        when = "a minute" if minutes == 1 else f"{minutes} minutes"
        return f"the identity provider asks to wait; try again in {when}"
    return "the identity provider is not available; try again shortly"


def minutes_of(seconds: int) -> int:
    """*seconds* in minutes, rounded up."""
    return -(-seconds // 60)


def guarded(
    handler: Handler,
    random_bytes: RandomBytes,
    answer: Callable[[Failure, Request], Response],
    *,
    level: int = logging.INFO,
) -> Handler:
    """*handler*, with every exception that it raises turned into an *answer*.

    *level*: see `failure_of`.
    """

    async def endpoint(request: Request) -> Response:
        named = request.scope.get(REFERENCE)  # `Requests` made it, and adds it to the response
        reference = named or reference_of(request, random_bytes)
        try:
            response = await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            return answer(failure_of(error, request, random_bytes, level=level), request)
        if named is None:
            response.headers["x-request-id"] = reference
        return response

    return endpoint


def _where(request: Request) -> str:
    """The request in the log: its path as it came, and the client.

    The client of a Unix socket has no address.
    """
    client = request.client.host if request.client else "-"
    raw_path = request.scope.get("raw_path")
    path = request.scope.get("path", "") if raw_path is None else raw_path.decode("latin-1")
    return _one_line(f"{request.method} {path} from {client}")


def _one_line(text: str) -> str:
    """*text*, which other people may have written, as one line of a log: controls are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def for_clients(handler: Handler, random_bytes: RandomBytes) -> Handler:
    """*handler* with its refusals as JSON (RFC 6749 §5.2)."""
    return guarded(handler, random_bytes, lambda failure, _: error_response(failure))


def error_response(failure: Failure) -> Response:
    error = failure.error
    content = {"error": error.code, "error_description": error.description}
    return json_response(content, status=error.status, headers=failure.headers)
