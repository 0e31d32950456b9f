"""``mintage token get``: log in as a client does, and print the access token."""

import asyncio
import logging
import os
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from json import dumps
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2
import uvicorn
from cyclopts import Parameter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mintage.cli import token_device
from mintage.cli.plain_text import as_text
from mintage.demo.browsers import has_browser
from mintage.errors import MintageError
from mintage.extras import extra
from mintage.urls import whole_url

with extra("mcp"):
    from mcp.client.auth import OAuthClientProvider, OAuthFlowError
    from mcp.shared.auth import (
        AuthorizationCodeResult,
        OAuthClientMetadata,
        OAuthToken,
    )
    from pydantic import AnyUrl

    from mintage.demo.memory import Memory

_SECONDS: Final = 300.0  # for a person to log in


class LoginFailed(MintageError):
    """The login did not come to a token. The text says why."""


def get(
    url: Annotated[str, Parameter(help="The resource: https://auth.example.com/mcp")],
    /,
    *,
    scope: Annotated[
        tuple[str, ...], Parameter(help="A scope to ask for; repeat it.", negative="")
    ] = (),
    browser: Annotated[bool, Parameter(help="Open the page by itself.")] = True,
    device: Annotated[
        bool, Parameter(help="Show a code to type on another device.", negative="")
    ] = False,
    json: Annotated[
        bool, Parameter(help="Print the whole token response instead.", negative="")
    ] = False,
) -> int:
    """Log in at a resource in your browser, and print the access token.

    It works as an MCP client does: it asks the resource where to log in, registers, and waits on
    this machine for your browser to come back. Only the token goes to standard output, so a shell
    can take it: curl -H "Authorization: Bearer $(mintage token get URL)" URL

    On a machine without a browser use --device: it shows a code that you type elsewhere.
    """
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it logs a traceback for each refusal
    whole_url(url, "URL", example="https://auth.example.com/mcp")
    if device:
        answer = asyncio.run(token_device.log_in(url, scope))
        print(as_text(dumps(answer, indent=2) if json else str(answer.get("access_token"))))  # noqa: T201
        return 0
    token = asyncio.run(
        _log_in(url, scope, opens=browser and has_browser(os.environ, sys.platform))
    )
    # Text of the server's: it may not steer the terminal.
    shown = (
        token.model_dump_json(exclude_none=True, indent=2) if json else as_text(token.access_token)
    )
    print(shown)  # noqa: T201
    return 0


async def _log_in(url: str, scopes: tuple[str, ...], *, opens: bool) -> OAuthToken:
    memory = Memory()
    async with _callback() as (redirect_uri, answer):

        async def redirect(page: str) -> None:
            page = _asking_for(page, scopes)
            print(f"Log in here: {as_text(page)}", file=sys.stderr)  # noqa: T201
            print(f"Waiting for it {_SECONDS / 60:.0f} minutes; Ctrl-C ends.", file=sys.stderr)  # noqa: T201
            if opens:
                await asyncio.to_thread(webbrowser.open, page)

        async def callback() -> AuthorizationCodeResult:
            async with asyncio.timeout(_SECONDS):
                found = await answer
            if "code" not in found:
                why = found.get("error_description") or found.get("error") or "no code came back"
                raise LoginFailed(f"the login was refused: {why}")
            return AuthorizationCodeResult(
                code=found["code"], state=found.get("state"), iss=found.get("iss")
            )

        metadata = OAuthClientMetadata(
            redirect_uris=[AnyUrl(redirect_uri)],
            client_name="mintage token get",
            grant_types=["authorization_code", "refresh_token"],
            token_endpoint_auth_method="none",  # noqa: S106
            scope=" ".join(scopes) or None,
        )
        provider = OAuthClientProvider(url, metadata, memory, redirect, callback)
        try:
            async with httpx2.AsyncClient(auth=provider, timeout=_SECONDS) as http:
                response = await http.get(url)
        except TimeoutError:
            raise LoginFailed(f"nobody logged in within {_SECONDS:.0f} seconds") from None
        except httpx2.ConnectError as error:
            raise LoginFailed(f"{url}: {error}; {token_device.NO_SERVER}") from None
        except (httpx2.HTTPError, OAuthFlowError) as error:
            raise LoginFailed(f"{url}: {str(error) or type(error).__name__}") from None
    if memory.tokens is None:
        raise LoginFailed(f"{url} answered {response.status_code} and asked for no login")
    granted = (memory.tokens.scope or " ".join(scopes)).split()
    if missing := [scope for scope in scopes if scope not in granted]:
        print(f"These scopes were not granted: {' '.join(missing)}", file=sys.stderr)  # noqa: T201
    return memory.tokens


def _asking_for(page: str, scopes: tuple[str, ...]) -> str:
    """*page* with *scopes* in the request too: the client asks for those of the challenge alone."""
    parts = urlsplit(page)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    asked = dict.fromkeys((*query.get("scope", "").split(), *scopes))
    if asked:
        query["scope"] = " ".join(asked)
    return urlunsplit(parts._replace(query=urlencode(query)))


@asynccontextmanager
async def _callback() -> AsyncIterator[tuple[str, asyncio.Future[dict[str, str]]]]:
    """A redirect URI on this machine (RFC 8252 §7.3), and the parameters that come to it."""
    answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def receive(request: Request) -> PlainTextResponse:
        if not answer.done():
            answer.set_result(dict(request.query_params))
        return PlainTextResponse("You may close this window and go back to the terminal.")

    config = uvicorn.Config(
        Starlette(routes=[Route("/callback", receive)]),
        host="127.0.0.1", port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/callback", answer
    finally:
        await server.shutdown()
