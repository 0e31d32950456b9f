"""A server of tools with the login inside.

``python -m tests.seams.backends.tools KIND PORT LOG SETTINGS``, where KIND is ``sdk`` (the
official SDK of MCP) or ``fastmcp``. What a tool writes down is that it ran.
"""

import json
import sys
from typing import cast

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.dependencies import get_http_request
from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.types import ASGIApp

from mintage.integrations import fastmcp, mcp_sdk
from tests.seams.backends.reports import Log

TOOLS = ("list", "drop")


def write(log: Log, tool: str, user: str, request: Request) -> str:
    """*tool* runs for *user*: that is what this backend saw of *request*."""
    sent = [(name, value) for name, value in request.headers.items() if name == "x-lab-id"]
    log.write(
        method=request.method,
        target=b"?".join(request.scope[at] for at in ("raw_path", "query_string")).decode(
            "latin-1"
        ),
        places=["mcp"],
        headers=[*sent, ("x-forwarded-user", user)],
        body=json.dumps({"method": "tools/call", "params": {"name": tool}}).encode(),
        cookies={},
    )
    return "ok"


def of_the_sdk(settings: str, log: Log) -> ASGIApp:
    login = mcp_sdk.McpLogin.from_file(settings)
    server = MCPServer(
        "tools", token_verifier=login.verifier("/sdk/mcp"), auth=login.auth_settings("/sdk/mcp")
    )
    for tool in TOOLS:

        def run(context: Context, tool: str = tool) -> str:
            request = cast("Request", context.request_context.request)
            return write(log, tool, mcp_sdk.current_user().subject, request)

        server.add_tool(run, name=tool)
    return login.app(server, stateless_http=True, json_response=True)


def of_fastmcp(settings: str, log: Log) -> ASGIApp:
    auth = fastmcp.MintageAuth.from_file(settings, path="/fastmcp/mcp")
    server: FastMCP[None] = FastMCP("tools", auth=auth)
    for tool in TOOLS:

        def run(tool: str = tool) -> str:
            return write(log, tool, fastmcp.current_user().subject, get_http_request())

        server.tool(run, name=tool)
    app: ASGIApp = server.http_app(path="/fastmcp/mcp", stateless_http=True, json_response=True)
    return app


if __name__ == "__main__":
    kind, port, written, settings = sys.argv[1:]
    build = of_the_sdk if kind == "sdk" else of_fastmcp
    uvicorn.run(
        build(settings, Log(written)),
        host="127.0.0.1",
        port=int(port),
        log_level="critical",
        lifespan="on",
    )
