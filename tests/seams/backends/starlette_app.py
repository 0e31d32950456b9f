"""Starlette on uvicorn: ``python -m tests.seams.backends.starlette_app PORT LOG PREFIX…``."""

import sys
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.seams.backends.reports import Log

PLACES = {"keys": "/files/keys", "files": "/files", "admin": "/admin", "secret": "/secret",
          "mcp": "/mcp", "root": ""}  # fmt: skip


Headers = Callable[[Request], list[tuple[str, str]]]


def as_sent(request: Request) -> list[tuple[str, str]]:
    return list(request.headers.items())


def endpoint(place: str, log: Log, headers: Headers) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        log.write(
            method=request.method,
            target=b"?".join(request.scope[at] for at in ("raw_path", "query_string")).decode(
                "latin-1"
            ),
            places=[place],
            headers=headers(request),
            body=await request.body(),
            cookies=dict(request.cookies),
        )
        return PlainTextResponse("ok")

    return handle


def application(log: Log, prefixes: list[str], headers: Headers = as_sent) -> Starlette:
    """Each place has its routes, the longest first; all methods reach them."""
    routes = []
    for prefix in prefixes:
        for place, below in PLACES.items():
            handle = endpoint(place, log, headers)
            for path in (f"{prefix}{below}", f"{prefix}{below}/{{rest:path}}"):
                route = Route(path, handle)
                route.methods = None
                routes.append(route)
    return Starlette(routes=routes)


if __name__ == "__main__":
    uvicorn.run(
        application(Log(sys.argv[2]), sys.argv[3:]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="critical",
        lifespan="off",
        timeout_keep_alive=60,
    )
