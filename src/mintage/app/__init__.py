"""The whole of Mintage as one ASGI application.

`create_app` gives it, `load_config` reads the ``mintage.toml`` that it is made from. The
application opens store and upstream when it starts and lets go of them when it stops.
"""

from mintage.extras import extra

with extra("server"):
    from mintage.app.application import Mintage, Running, create_app
    from mintage.clients.client import Client
    from mintage.settings.load import Config
    from mintage.settings.load import load as load_config
    from mintage.vault.values import Listed

__all__ = ["Client", "Config", "Listed", "Mintage", "Running", "create_app", "load_config"]
