"""The routes that FastMCP's applications get: all else of the login is in the middleware."""

import logging
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from mintage.integrations.asgi import PASSED, Login
from mintage.integrations.opening import Opening
from mintage.web.edge import json_response

log = logging.getLogger("mintage.integrations")


class Unguarded(Route):
    """Comes before FastMCP's own route, and answers only where the middleware did not run.

    That happens if the routes were copied into another application. Without the middleware there
    is no login, and FastMCP would refuse every request without a reason.
    """

    def __init__(self, login: Login) -> None:
        super().__init__("/{path:path}", endpoint=_refuse_unguarded, include_in_schema=False)
        self.methods = None  # any
        self._login = login

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._login.guards and PASSED in scope:
            return Match.NONE, {}
        return super().matches(scope)


async def _refuse_unguarded(request: Request) -> Response:
    log.error(
        "%s: FastMCP's routes are in an application without the login's middleware and lifespan; "
        "do not copy them: add Mount('/', app=mcp_app) and give lifespan=mcp_app.lifespan",
        request.url.path,
    )
    return json_response(
        {"error": "server_error", "error_description": "the login of this server is not set up"},
        status=500,
    )


@dataclass(frozen=True, slots=True)
class Document:
    """Serves a document of the login outside of FastMCP's application."""

    opening: Opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.opening.open()
        await self.opening.login.mintage(scope, receive, send)
