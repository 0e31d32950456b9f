"""An application with the login inside.

``python -m tests.seams.backends.guarded PORT LOG SETTINGS``
"""

import sys
from pathlib import Path

import uvicorn
from starlette.requests import Request

from mintage.integrations.starlette import Login, user_of
from tests.seams.backends.reports import Log
from tests.seams.backends.starlette_app import application


def known(request: Request) -> list[tuple[str, str]]:
    """Who is calling stands in the token alone, and no header tells of it."""
    sent = [(name, value) for name, value in request.headers.items() if name == "x-lab-id"]
    return [*sent, ("x-forwarded-user", user_of(request).subject)]


if __name__ == "__main__":
    port, log, settings = sys.argv[1:]
    login = Login.from_file(Path(settings))
    uvicorn.run(
        login.middleware(application(Log(log), ["/inside"], known)),
        host="127.0.0.1",
        port=int(port),
        log_level="critical",
        lifespan="on",
    )
