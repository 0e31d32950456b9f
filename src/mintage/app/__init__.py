"""The assembly: the only place that knows a store and a route.

`create_app` gives an ASGI application. It opens store and upstream when it starts and lets
go of them when it stops.
"""

from mintage.extras import extra

with extra("server"):
    from mintage.app.application import Mintage, Running, create_app
    from mintage.app.opening import access_keys, open_vault, vault_keys
    from mintage.app.secret_needs import Need, SecretNeeds, register_of

__all__ = [
    "Mintage",
    "Need",
    "Running",
    "SecretNeeds",
    "access_keys",
    "create_app",
    "open_vault",
    "register_of",
    "vault_keys",
]
