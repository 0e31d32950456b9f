"""A bare Starlette that reads the form of a refresh and answers tokens, as uvicorn serves it.

A refresh can't do without that much, so its cost is compared with this one's.
"""

from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PATH: Final = "/token"
_TOKENS: Final = {
    "access_token": "a" * 420, "token_type": "Bearer", "expires_in": 3600, "scope": "tools",
    "refresh_token": "r" * 420,
}  # fmt: skip


async def _body(request: Request) -> Response:
    await request.body()
    return JSONResponse(_TOKENS)


async def _form(request: Request) -> Response:
    async with request.form() as form:
        if not form["refresh_token"]:
            raise ValueError("there is no refresh token in the form")
    return JSONResponse(_TOKENS)


ENDPOINTS: Final = {"its body read": _body, "its form read": _form}


def served(kind: str) -> uvicorn.Config:
    """The server whose endpoint is that of this *kind*."""
    app = Starlette(routes=[Route(PATH, ENDPOINTS[kind], methods=["POST"])])
    return uvicorn.Config(app, http="httptools", lifespan="off", access_log=False, log_config=None)
