"""What a login adds to a call, counted, in FastMCP, the MCP SDK and Starlette.

::

    python -m benchmarks.login_counts                    what each costs, and what the login adds
    python -m benchmarks.login_counts --profile sdk      which functions it adds

The calls are those of ``benchmarks.shares``: without sockets, in one process. The counts are the
same on each run, however busy the machine is.
"""

import argparse
import asyncio
import os
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from benchmarks.counting import Function, counting_instructions
from benchmarks.fastmcp_servers import MADE_UP, application, settings
from benchmarks.shares import ISSUER, Subject, anybody, logged_in, nobody, started
from benchmarks.systems import provider
from mintage.integrations.mcp_sdk import McpLogin
from mintage.integrations.starlette import Login, user_of

WARM: Final = 20  # calls that fill the caches
COUNTED: Final = 20

Served = tuple[ASGIApp, AbstractAsyncContextManager[Any]]
"""An application, and its lifespan."""


def fastmcp(login: str) -> Callable[[str, Path], Served]:
    def serve(upstream: str, directory: Path) -> Served:
        app = application(login, ISSUER, upstream, directory)
        return app, app.lifespan(app)

    return serve


def sdk(upstream: str, _directory: Path) -> Served:
    login = McpLogin(**settings(ISSUER, upstream), resource=_RESOURCE)
    server = MCPServer("benchmark", token_verifier=login.verifier(), auth=login.auth_settings())
    _add_tool(server)
    app = login.app(server)
    return app, _both(login, app.app)


def sdk_alone(_upstream: str, _directory: Path) -> Served:
    server = MCPServer("benchmark")
    _add_tool(server)
    app = server.streamable_http_app(
        streamable_http_path="/mcp",
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return app, app.router.lifespan_context(app)


def starlette(upstream: str, _directory: Path) -> Served:
    login = Login(**settings(ISSUER, upstream), resource=_RESOURCE)
    app = Starlette(routes=[Route("/mcp", _of_user, methods=["POST"])])
    return login.middleware(app), login.lifespan()


def starlette_alone(_upstream: str, _directory: Path) -> Served:
    app = Starlette(routes=[Route("/mcp", _of_nobody, methods=["POST"])])
    return app, app.router.lifespan_context(app)


SERVERS: Final = {
    "fastmcp": (fastmcp("mintage-memory"), logged_in, fastmcp("none")),
    "fastmcp, its OAuthProxy": (fastmcp("proxy-memory"), logged_in, fastmcp("none")),
    "fastmcp, a made-up user": (fastmcp(MADE_UP), anybody, fastmcp("none")),
    "sdk": (sdk, logged_in, sdk_alone),
    "starlette": (starlette, logged_in, starlette_alone),
}
"""By framework: the server with a login, what token it is sent, and the one without."""
_RESOURCE: Final = {"path": "/mcp", "scopes": ["tools"]}


def _add_tool(server: MCPServer) -> None:
    @server.tool()
    def scopes() -> str:
        token = get_access_token()
        return "nobody asked" if token is None else " ".join(token.scopes)


async def _of_user(request: Request) -> PlainTextResponse:
    return PlainTextResponse(" ".join(user_of(request).scopes))


async def _of_nobody(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("nobody asked")


@asynccontextmanager
async def _both(login: Login, app: Any) -> AsyncIterator[None]:
    async with login.lifespan(), app.router.lifespan_context(app):
        yield


async def counted(subject: Subject) -> Counter[Function]:
    """The bytecode instructions of a call, by function.

    It is the cheapest of `COUNTED` calls: what runs beside, such as a timer, only ever adds.
    """
    for _ in range(WARM):
        await subject.once()
    found = []
    for _ in range(COUNTED):
        counts: Counter[Function] = Counter()
        with counting_instructions(counts):
            await subject.once()
        found.append(counts)
    return min(found, key=Counter.total)


async def count(directory: Path) -> dict[str, tuple[Counter[Function], Counter[Function]]]:
    """By framework: the counts with a login, and without."""
    os.environ |= {"FASTMCP_HOME": str(directory), "FASTMCP_LOG_LEVEL": "ERROR"}
    found = {}
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(provider(directory, lifetime=3600))
        for name, (with_login, token, alone) in SERVERS.items():
            each = []
            for serve, sent in ((with_login, token), (alone, nobody)):
                app, lifespan = serve(upstream, directory)
                making = started(name, app, lifespan, sent=sent)
                each.append(await counted(await stack.enter_async_context(making)))
            found[name] = each[0], each[1]
    return found


def show(counts: dict[str, tuple[Counter[Function], Counter[Function]]]) -> None:
    print("| bytecode instructions of a call | with a login | without | added |")
    print("|---|---:|---:|---:|")
    for name, (one, none) in counts.items():
        added = one.total() - none.total()
        print(f"| {name} | {one.total():,} | {none.total():,} | {added:,} |")


def show_profile(one: Counter[Function], none: Counter[Function]) -> None:
    added = {name: one[name] - none[name] for name in one | none}
    for (file, function), total in sorted(added.items(), key=lambda item: -item[1]):
        if total:
            short = re.sub(r".*/(?:src|site-packages|lib/python[^/]*)/", "", file)
            print(f"{total:8,}  {short}: {function}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.login_counts")
    parser.add_argument("--profile", metavar="NAME", choices=SERVERS, help="show the functions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        counts = asyncio.run(count(Path(directory)))
    show(counts)
    if options.profile:
        print()
        show_profile(*counts[options.profile])


if __name__ == "__main__":
    main()
