"""What a fake provider's endpoint answers when it is told to fail."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

_TOO_LARGE: Final = 2 * 1024 * 1024


async def fail(fault: str, request: Request, release: asyncio.Event) -> Response | None:
    """The answer to *request* with *fault*; None where that is the name of an OAuth error.

    A request that hangs does so until *release*. Raises ``ConnectionResetError`` to break the
    connection.
    """
    match fault:
        case "hang":
            await release.wait()
            return Response(status_code=500)
        case "500" | "503" | "429":
            return Response("a stack trace", int(fault), headers={"retry-after": "7"})
        case "reset":
            await request.body()
            raise ConnectionResetError
        case "garbage":
            return Response(b"<html>\xff not json", media_type="application/json")
        case "array":
            return JSONResponse(["not", "an", "object"])
        case "huge":
            return JSONResponse({"access_token": "x" * _TOO_LARGE})
        case "redirect":
            return RedirectResponse("/elsewhere", 302)
        case "no_access_token":
            return JSONResponse({"token_type": "Bearer"})
        case _:
            return None
