"""An application with Mintage inside, as its developer runs it: ``python -m … KIND PORT UPSTREAM``.

uvicorn has its own usual logging. With ``LOUD`` in the environment every logger of the process
prints everything that it has, but for uvicorn's TRACE: that dumps each request before any
application has seen it.
"""

import logging
import os
import sys
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from mintage.app import create_app
from mintage.integrations.user import config_of
from tests.support.world import SECRET


def build(kind: str, port: int, upstream: str) -> ASGIApp:
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "issuer": issuer,
        "secret": "env:MINTAGE_TEST_SECRET",
        "store": "memory://",
        "upstream": {
            "issuer": upstream,
            "client_id": "mintage",
            "client_secret": "env:UPSTREAM_SECRET",
        },
    }
    match kind:
        case "starlette":
            from mintage.integrations.starlette import Login, user_of

            login = Login(resource={"path": "/mcp"}, **settings)  # type: ignore[arg-type]

            async def me(request: Request) -> JSONResponse:
                return JSONResponse({"sub": user_of(request).subject})

            app = Starlette(routes=[Route("/mcp", me, methods=["GET", "POST"])])
            app.add_middleware(login.middleware)
            return app
        case "fastmcp" | "fastmcp mounted":
            from fastmcp import FastMCP

            from mintage.integrations.fastmcp import MintageAuth

            auth = MintageAuth(**settings)  # type: ignore[arg-type]
            inner = FastMCP("notes", auth=auth).http_app(path="/mcp")
            if kind == "fastmcp":
                return cast("ASGIApp", inner)
            return Starlette(routes=[Mount("/", app=inner)], lifespan=inner.lifespan)
        case "mcp_sdk":
            from mcp.server.mcpserver import MCPServer

            from mintage.integrations.mcp_sdk import McpLogin

            login = McpLogin(resource={"path": "/mcp"}, **settings)  # type: ignore[arg-type]
            server = MCPServer("notes", token_verifier=login.verifier(), auth=login.auth_settings())
            return login.app(server)
        case _:
            resource = {"path": "/mcp", "backend": "http://127.0.0.1:9", "credential": "none"}
            return create_app(config_of(resource=resource, **settings))  # type: ignore[arg-type]


def main() -> None:
    kind, port, upstream = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.environ["MINTAGE_TEST_SECRET"] = SECRET
    loud = "LOUD" in os.environ
    if loud:
        logging.basicConfig(level=logging.DEBUG)
    uvicorn.run(
        build(kind, port, upstream), host="127.0.0.1", port=port,
        log_level="debug" if loud else None,
    )  # fmt: skip


if __name__ == "__main__":
    main()
