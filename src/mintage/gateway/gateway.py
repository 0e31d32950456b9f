"""The gateway: from a request's path to its backend, through the door."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.gateway.backend import BackendError
from mintage.gateway.door import Door
from mintage.gateway.headers import to_backend
from mintage.gateway.paths import Match, route
from mintage.gateway.proxy import Backend, Proxy


@dataclass(frozen=True, slots=True)
class Gateway:
    """An ASGI app for the paths of its resources; `find` tells which paths those are."""

    backends: Mapping[str, Backend]
    proxy: Proxy
    door: Door

    def find(self, raw_path: bytes) -> Match[Backend] | None:
        """The backend of a request path, or None where it is no resource's.

        Raises `InvalidRequest` for a path that two servers could read differently.
        """
        return route(raw_path, self.backends)

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, *, found: Match[Backend]
    ) -> None:
        backend, url = found.target, found.url(found.target.url)
        try:
            access = await self.door.admit(
                scope["headers"], backend.resource, method=scope["method"], path=found.rest
            )
            if backend.local is not None:
                return await backend.local(scope, receive, send, access)
            identity, authorization = await self.proxy.credentials.of(access, backend)
            query = scope.get("query_string", b"")
            client = scope.get("client")
            headers = to_backend(
                scope["headers"],
                identity=identity,
                authorization=authorization,
                client_host=client[0] if client else None,
                scheme=scope["scheme"],
                host=_host(scope),
            )
            target = f"{url}?{query.decode('latin-1')}" if query else url
            await self.proxy.forward(
                scope, receive, send, backend=backend, url=target, headers=headers
            )
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            response = self._refusal(error, Request(scope), backend)
            await response(scope, receive, send)

    def _refusal(self, error: Exception, request: Request, backend: Backend) -> Response:
        slash = request.scope["path"] == f"{backend.path}/"
        response = self.door.refusal(error, request, backend.resource, slash=slash)
        if isinstance(error, BackendError):
            response.headers["retry-after"] = "5"
        return response


def _host(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"host":
            return str(value.decode("latin-1"))
    return None
