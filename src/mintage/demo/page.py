"""A little web application that logs in through Mintage: the demo, for a person's browser."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx2
import uvicorn
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from mintage.demo.stage import Stage
from mintage.grant import s256
from mintage.inspection import inspect
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving

_PAGE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Demo application</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}
td{padding:.2rem 1rem .2rem 0;vertical-align:top;overflow-wrap:anywhere}code{word-break:break-all}
</style>
<h1>A demo application</h1>
{% if claims %}
<p>Logged in. This is the token that the application holds; no token of the login provider
is in it:</p>
<p><code>{{ token }}</code></p>
<table>{% for claim in claims %}<tr><td><b>{{ claim.name }}</b><td>{{ claim.shown }}
<td>{{ claim.meaning }}</tr>{% endfor %}</table>
<p><a href="/login">Log in again</a></p>
{% else %}
<p>It wants to use the MCP server at <code>{{ mcp_url }}</code>.</p>
<p><a href="/login">Log in</a></p>
{% endif %}
</html>""")


@dataclass
class _Application:
    stage: Stage
    origin: str
    logins: dict[str, str] = field(default_factory=dict)
    client_id: str = ""

    @property
    def redirect_uri(self) -> str:
        return f"{self.origin}/callback"

    async def home(self, _: Request) -> Response:
        return HTMLResponse(_PAGE.render(mcp_url=self.stage.mcp_url, claims=None))

    async def login(self, _: Request) -> Response:
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                f"{self.stage.issuer}/register",
                json={
                    "client_name": "A demo application",
                    "redirect_uris": [self.redirect_uri],
                    "token_endpoint_auth_method": "none",
                },
            )
        self.client_id = answer.raise_for_status().json()["client_id"]
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        self.logins[state] = verifier
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": state,
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
            "resource": self.stage.mcp_url,
        }
        return RedirectResponse(f"{self.stage.issuer}/authorize?{urlencode(query)}", 303)

    async def callback(self, request: Request) -> Response:
        verifier = self.logins.pop(request.query_params.get("state", ""), None)
        if verifier is None or "code" not in request.query_params:
            return RedirectResponse("/", 303)
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                f"{self.stage.issuer}/token",
                data={
                    "grant_type": "authorization_code",
                    "code": request.query_params["code"],
                    "client_id": self.client_id,
                    "redirect_uri": self.redirect_uri,
                    "code_verifier": verifier,
                },
            )
        token = answer.raise_for_status().json()["access_token"]
        return HTMLResponse(_PAGE.render(token=token, claims=inspect(token, now=0).claims))


@asynccontextmanager
async def serve_page(stage: Stage) -> AsyncIterator[str]:
    """The application on a free port; its address."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    application = _Application(stage, origin)
    app = Starlette(
        routes=[
            Route("/", application.home),
            Route("/login", application.login),
            Route("/callback", application.callback),
        ]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error")
    async with serving(uvicorn.Server(config)):
        yield origin
