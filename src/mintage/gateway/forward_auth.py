"""The question of another proxy: may this request pass, and what is its backend to be told?

nginx (``auth_request``), Traefik (ForwardAuth), Caddy (``forward_auth``) and Envoy (``ext_authz``)
ask here before they pass a request on. They describe it; only the headers that they leave as the
client sent them (``Authorization``, ``Origin``, ``Mcp-*``) are the client's own.

The answer is 200 with the headers for the backend; 401 or 403 with the challenge for the client;
5xx where nothing is known, which is no refusal. It is never another one: proxies know no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.errors import AccessDenied, OAuthError
from mintage.gateway.gateway import Gateway
from mintage.gateway.headers import RawHeaders
from mintage.gateway.paths import Match, as_read, check_path
from mintage.gateway.peers import Peers, is_local
from mintage.gateway.proxy import Backend
from mintage.server.cors import for_any_origin
from mintage.server.limits import check_size

Asker: TypeAlias = Literal["nginx", "traefik", "caddy", "envoy"]

# One way for each: a header that this proxy does not set, a client could.
_HEADERS: Final[Mapping[Asker, tuple[bytes, bytes]]] = {
    "nginx": (b"x-original-method", b"x-original-uri"),
    "traefik": (b"x-forwarded-method", b"x-forwarded-uri"),
    "caddy": (b"x-forwarded-method", b"x-forwarded-uri"),
}


class NotDescribed(OAuthError):
    """The proxy asks about nothing: its configuration is not as it should be."""

    status = 500
    stage = "request"


@dataclass(frozen=True, slots=True)
class ForwardAuth:
    """An ASGI app at *path*. *asker* is the kind of proxy that may ask, *peers* which ones."""

    gateway: Gateway
    peers: Peers
    asker: Asker
    path: str

    def is_asked(self, path: str) -> bool:
        """Whether a request to *path* is such a question. Envoy puts its own path behind."""
        below = self.asker == "envoy" and path.startswith(f"{self.path}/")
        return below or path == self.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked, backend = scope, None
        try:
            check_size(scope)
            self._check_peer(scope)
            method, path = self._question(scope)
            asked = {**scope, "method": method, "path": path.decode("latin-1")}
            found = self._find(path)
            backend = found.target
            access = await self.gateway.door.admit(
                scope["headers"], backend.resource, method=method, path=found.rest
            )
            identity, authorization = await self.gateway.proxy.credentials.of(access, backend.wish)
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            response = self.gateway.refusal(error, Request(asked), backend)
            return await _known_to_proxies(response)(scope, receive, for_any_origin(send))
        if authorization is not None:
            identity = {**identity, "authorization": authorization}
        await send({"type": "http.response.start", "status": 200, "headers": _raw(identity)})
        return await send({"type": "http.response.body", "body": b""})

    def _check_peer(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope.get("client") else None
        if not is_local(peer) and not self.peers.trusts(peer):
            raise AccessDenied(
                "only a proxy in gateway.trusted_proxies, or on this machine, may ask here",
                reason=f"asked by {peer}",
                stage="request",
            )

    def _question(self, scope: Scope) -> tuple[str, bytes]:
        """(method, path as it was sent) of the request in question."""
        if self.asker == "envoy":
            path = (scope.get("raw_path") or scope["path"].encode())[len(self.path) :]
            return scope["method"], path
        method, target = (_only(scope["headers"], name) for name in _HEADERS[self.asker])
        return method.decode("latin-1"), target.partition(b"?")[0]

    def _find(self, path: bytes) -> Match[Backend]:
        check_path(path)
        # The proxy compared the path as it reads it, so "/%6dcp" may be on its way to "/mcp".
        found = self.gateway.resource_at(as_read(path))
        if found is None:
            raise AccessDenied("there is no resource at this path; check the address")
        return found


def _only(headers: RawHeaders, name: bytes) -> bytes:
    values = [value for key, value in headers if key == name]
    if len(values) != 1:
        raise NotDescribed(
            f"the proxy must send {name.decode()} once: copy its configuration from the manual"
        )
    return values[0]


def _raw(headers: Mapping[str, str]) -> RawHeaders:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return [*raw, (b"content-length", b"0"), (b"cache-control", b"no-store")]


def _known_to_proxies(response: Response) -> Response:
    """*response* with 403 for whatever else is the client's fault: nginx takes it for an error."""
    ours = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if not ours and response.status_code != HTTPStatus.UNAUTHORIZED:
        response.status_code = HTTPStatus.FORBIDDEN
    return response
