"""The access log: one line for each request, without its query.

It is on if the level of the logger ``mintage.access`` itself is INFO. An application that has
Mintage inside and logs at INFO does not get a second access log by that.
"""

import logging
from typing import Final

from starlette.types import Scope

from mintage.web.current_request import FIELDS, CurrentRequest

NAME: Final = "mintage.access"

_MAX_PATH: Final = 300  # characters

log = logging.getLogger(NAME)


def is_on() -> bool:
    """Whether requests are logged."""
    return log.level != logging.NOTSET and log.isEnabledFor(logging.INFO)


def write(scope: Scope, request: CurrentRequest, seconds: float) -> None:
    """The line for *request*, which took *seconds* up to the end of its response."""
    method, path = scope.get("method", "WEBSOCKET"), _path(scope)
    grant: str | None = None
    if request.caller is not None:
        grant = request.caller.party.grant
    elif request.refusal is not None:
        grant = request.refusal.grant
    took = round(seconds * 1000, 1)
    log.info(
        "%s %s %s from %s: %s in %s ms, grant %s",
        request.reference,
        method,
        path,
        request.address or "-",
        request.status or "no response",
        took,
        grant or "-",
        extra={
            FIELDS: {
                "method": method,
                "path": path,
                "status": request.status,
                "duration_ms": took,
                "client": request.address,
                "endpoint": request.endpoint,
                "grant": grant,
            }
        },
    )


def _path(scope: Scope) -> str:
    """The path as it came, on one line. A query could have a code or a token in it."""
    raw = scope.get("raw_path")
    text = scope.get("path", "") if raw is None else raw.partition(b"?")[0].decode("latin-1")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_MAX_PATH])
