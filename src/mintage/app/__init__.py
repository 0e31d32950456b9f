"""Mintage as one ASGI application.

`load_config` reads ``mintage.toml``, and `create_app` makes the application from it. When the
application starts it opens its store and its identity providers, and when it stops it closes them.
"""

from mintage.extras import extra

with extra("server"):
    from mintage.app.application import Mintage, create_app
    from mintage.app.running import Running
    from mintage.clients.client import Client
    from mintage.events.event import Event
    from mintage.settings.load import Config
    from mintage.settings.load import load as load_config
    from mintage.vault.listing import Listing
    from mintage.vault.values import Listed

__all__ = [
    "Client",
    "Config",
    "Event",
    "Listed",
    "Listing",
    "Mintage",
    "Running",
    "create_app",
    "load_config",
]
