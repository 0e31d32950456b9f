"""A small web application that logs in through Mintage: the demo in a person's browser."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final
from urllib.parse import urlencode

import httpx2
import uvicorn
from jinja2 import Environment, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from mintage.demo.stage import Stage
from mintage.grants.pkce import s256
from mintage.jwt.inspection import inspect_token
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving

_FILES: Final = files(__package__ or "mintage.demo")
_STYLE: Final = _FILES.joinpath("page.css").read_text(encoding="utf-8")
_PAGE: Final = Environment(
    autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
).from_string(_FILES.joinpath("page.html").read_text(encoding="utf-8"))
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}


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
        return self._page(claims=None)

    def _page(self, **values: object) -> Response:
        provider = self.stage.provider
        html = _PAGE.render(
            mcp_url=self.stage.mcp_url,
            username=provider.username,
            password=provider.password,
            **values,
        )
        return HTMLResponse(html, headers=_HEADERS)

    async def style(self, _: Request) -> Response:
        return Response(_STYLE, media_type="text/css", headers=_HEADERS)

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
        return self._page(token=token, claims=inspect_token(token, now=0).claims)


@asynccontextmanager
async def serve_page(stage: Stage) -> AsyncIterator[str]:
    """Serve the application on a free port; gives its address."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    application = _Application(stage, origin)
    app = Starlette(
        routes=[
            Route("/", application.home),
            Route("/style.css", application.style),
            Route("/login", application.login),
            Route("/callback", application.callback),
        ]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error")
    async with serving(uvicorn.Server(config)):
        yield origin
