"""The configuration of uvicorn, in every place that serves this application."""

import uvicorn
from starlette.types import ASGIApp

from mintage.app.listening import BACKLOG
from mintage.gateway.peers import Peers, read_networks
from mintage.serving.binding import bounded
from mintage.settings.load import Config


def uvicorn_config(
    app: ASGIApp, settings: Config, *, grace: int, host: str = "127.0.0.1", port: int = 0
) -> uvicorn.Config:
    """The configuration for *app*, with the limits in *settings*. The caller starts *app* itself.

    *grace*: seconds for requests under way to finish when the server stops.
    """
    peers = Peers(read_networks(settings.gateway.trusted_proxies))
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,  # its lines hold whole query strings: codes and states
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=grace,
        proxy_headers=False,
        **bounded(settings.server, peers.trusts),
    )
