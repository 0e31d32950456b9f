"""The admin API as an ASGI application of its own: who may come in, and where requests go."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.admin.activity import Activity
from mintage.admin.api import Api
from mintage.admin.operators import Operator, Operators
from mintage.admin.page import Page
from mintage.admin.status import Statuses
from mintage.app.requests import Requests
from mintage.app.running import Running
from mintage.errors import AccessDenied, InvalidToken, MethodNotAllowed, NotFound
from mintage.gateway.peers import Peers, read_networks
from mintage.settings.load import Config
from mintage.values import Clock, RandomBytes
from mintage.web.current_request import ADMIN, note_endpoint
from mintage.web.edge import Failure, error_response, guarded, read_body
from mintage.web.limits import check_size

Operation: TypeAlias = Callable[[Request, Operator], Awaitable[Response]]
_READS: Final = frozenset({"GET", "HEAD"})
_CHALLENGE: Final = 'Basic realm="mintage admin", charset="UTF-8"'
_MOST: Final = 1024  # bytes of a body: no operation reads one


class AdminSite(msgspec.Struct, frozen=True, kw_only=True):
    """Answers the requests of operators, and refuses everybody else."""

    api: Api
    page: Page
    operators: Operators
    requests: Requests
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request. There are no WebSockets here."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.requests(self._answer, scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_endpoint(ADMIN)
        handle = guarded(self._handle, self.random_bytes, _refused)
        response = await handle(Request(scope, receive))
        await response(scope, receive, send)

    async def _handle(self, request: Request) -> Response:
        check_size(request.scope)
        operator = self.operators.operator_of(request.scope["headers"], now=self.clock())
        operations = self._operations(request.scope["path"])
        operation = operations.get("GET" if request.method == "HEAD" else request.method)
        if operation is None:
            allowed = ", ".join(operations)
            raise MethodNotAllowed(f"use {allowed.replace(', ', ' or ')}", allow=allowed)
        if request.method not in _READS:
            _refuse_browsers(request)
        await read_body(request, limit=_MOST)
        return await operation(request, operator)

    def _operations(self, path: str) -> Mapping[str, Operation]:
        """What can be done at *path*, by method. Raises `NotFound`."""
        api = self.api
        match path.split("/")[1:]:
            case [""]:
                return {"GET": self.page}
            case ["status"]:
                return {"GET": api.status}
            case ["grants"]:
                return {"GET": api.grants, "DELETE": api.end_grants}
            case ["grants", name]:
                return {
                    "GET": partial(api.grant, name=name),
                    "DELETE": partial(api.end_grant, name=name),
                }
            case ["clients"]:
                return {"GET": api.clients}
            case ["denials"]:
                return {"GET": api.denials, "PUT": api.deny, "DELETE": api.admit}
            case _:
                raise NotFound("there is nothing at this path; `mintage openapi --admin` lists all")


def open_site(
    config: Config,
    running: Callable[[], Running],
    activity: Activity,
    *,
    clock: Clock,
    steady: Clock,
    random_bytes: RandomBytes,
) -> AdminSite:
    """The admin API that *config* describes, for the application that *running* returns."""
    admin = config.admin
    if admin is None:
        raise ValueError("the settings have no [admin]")
    statuses = Statuses(activity, steady)
    api = Api(running, statuses)
    return AdminSite(
        api=api,
        page=Page(api, config.branding),
        operators=Operators(
            admin.token,
            config.issuer,
            None if admin.resource is None else admin.resource.audience,
            config.signing_keys,
        ),
        requests=Requests(
            peers=Peers(read_networks(config.gateway.trusted_proxies)),
            random_bytes=random_bytes,
            emit=lambda event: running().events(event),
        ),
        clock=clock,
        random_bytes=random_bytes,
    )


def _refuse_browsers(request: Request) -> None:
    """Refuse a change that a web page may have sent with the credentials of its reader.

    Every browser says with `Sec-Fetch-Site` or `Origin` that it is one. Programs send neither.
    """
    if "sec-fetch-site" in request.headers or "origin" in request.headers:
        raise AccessDenied(
            "browsers can only read here: send changes from a program", stage="request"
        )


def _refused(failure: Failure, request: Request) -> Response:
    """The refusal as JSON. A browser without credentials is asked for them."""
    response = error_response(failure)
    if isinstance(failure.error, InvalidToken) and request.method in _READS:
        response.headers.append("www-authenticate", _CHALLENGE)
    return response
