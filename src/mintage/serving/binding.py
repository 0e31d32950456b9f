"""Arguments for ``uvicorn.Config``, so that a server keeps the limits in ``[server]``."""

import logging
from typing import Any

from mintage.serving.places import Places, Trusts
from mintage.serving.protocol import protocols
from mintage.serving.settings import ServerSection, affordable

log = logging.getLogger("mintage.serve")


def bounded(bounds: ServerSection, trusts: Trusts) -> dict[str, Any]:
    """Arguments of ``uvicorn.Config``. *trusts*: whether an address is a proxy's."""
    total = affordable(bounds.max_connections, _files())
    if total < bounds.max_connections:
        log.warning(
            "this process may open too few files for server.max_connections = %d: it takes %d "
            "connections (raise the limit, ulimit -n, to %d)",
            bounds.max_connections, total, 2 * bounds.max_connections + 256,
        )  # fmt: skip
    places = Places(total=total, per_address=bounds.max_connections_per_address, trusts=trusts)
    http, ws = protocols(bounds, places)
    return {"http": http, "ws": ws, "timeout_keep_alive": bounds.keep_alive_seconds}


def _files() -> int:
    """How many files this process may open. It raises its limit as far as it may."""
    try:
        import resource
    except ImportError:  # Windows
        return 2**31
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # some systems have a lower limit of their own
            hard = soft
    return 2**31 if hard == resource.RLIM_INFINITY else hard
