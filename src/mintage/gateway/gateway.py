"""The gateway: from a request's path to its backend, through the door."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.errors import NotFound
from mintage.gateway.connection import BackendError
from mintage.gateway.door import Door
from mintage.gateway.headers import to_backend
from mintage.gateway.paths import Match, begins_like_ours, route
from mintage.gateway.proxy import Backend, Proxy
from mintage.server.http import error_response, failure_of


@dataclass(frozen=True, slots=True)
class Gateway:
    """An ASGI app for the paths of its *resources*; `find` tells which of those it serves."""

    resources: Mapping[str, Backend]
    proxy: Proxy
    door: Door

    @property
    def backends(self) -> Mapping[str, Backend]:
        """Those of the resources that something stands behind."""
        return {path: backend for path, backend in self.resources.items() if backend.answers}

    def find(self, raw_path: bytes) -> Match[Backend] | None:
        """The backend of a request path, or None where there is none.

        Raises `InvalidRequest` for a path that two servers could read differently.
        """
        found = self.resource_at(raw_path)
        return found if found is not None and found.target.answers else None

    def resource_at(self, raw_path: bytes) -> Match[Backend] | None:
        """The resource of a request path, whoever serves it. Raises as `find` does.

        What begins like a path of ours is not a whole site's: an endpoint that is switched off
        leads nowhere else.
        """
        found = route(raw_path, self.resources)
        if found is None or (found.target.path == "/" and begins_like_ours(found.rest)):
            return None
        return found

    def close(self) -> None:
        """Let go of the connections that are kept for later."""
        for backend in self.resources.values():
            if backend.pool is not None:
                backend.pool.close()

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, *, found: Match[Backend]
    ) -> None:
        backend = found.target
        try:
            access = await self.door.admit(
                scope["headers"], backend.resource, method=scope["method"], path=found.rest
            )
            if backend.local is not None:
                return await backend.local(scope, receive, send, access)
            if backend.pool is None:
                raise NotFound("another proxy serves this resource; use its address")
            identity, authorization = await self.proxy.credentials.of(access, backend)
            client, public = scope.get("client"), urlsplit(self.door.site.issuer)
            headers = to_backend(
                scope["headers"],
                identity=identity,
                authorization=authorization,
                client_host=client[0] if client else None,
                scheme=public.scheme,
                host=public.netloc,
            )
            await self.proxy.forward(
                scope,
                receive,
                send,
                backend=backend,
                pool=backend.pool,
                rest=found.rest,
                headers=headers,
            )
        except Exception as error:  # noqa: BLE001  (the outermost edge: all of it is logged)
            response = self.refusal(error, Request(scope), backend)
            await response(scope, receive, send)

    def refusal(self, error: Exception, request: Request, backend: Backend | None) -> Response:
        """*error* as the answer to *request*, which was for *backend* as far as that is known."""
        if backend is None:
            return error_response(failure_of(error, request, self.door.dice))
        at = urlsplit(backend.resource.identifier).path
        slash = request.scope["path"] == f"{at}/"
        response = self.door.refusal(error, request, backend.resource, slash=slash)
        if isinstance(error, BackendError):
            response.headers["retry-after"] = "5"
        return response
