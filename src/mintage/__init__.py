"""Mintage: the token factory for OAuth proxies.

The names below load on first use, so that a program that only wants the issuer imports no web
framework, no HTTP client and no template engine. `create_app`, `load_config` and `Config` need
the extra ``server``. Without it you can still import them, and calling one raises
`mintage.extras.MissingExtra`, which says what to install.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mintage.app import Config, create_app, load_config
    from mintage.crypto.derivation import derive_jwt_key
    from mintage.jwt.claims import Claims
    from mintage.jwt.inspection import inspect_token
    from mintage.jwt.issuer import JWTIssuer, derive_jwt_key_async
    from mintage.jwt.keyring import KeyRing, TokenKey
    from mintage.jwt.verifier import JWTVerifier

__version__ = "0.1.0"

_HOMES = {
    "Claims": "mintage.jwt.claims",
    "Config": "mintage.app",
    "JWTIssuer": "mintage.jwt.issuer",
    "JWTVerifier": "mintage.jwt.verifier",
    "KeyRing": "mintage.jwt.keyring",
    "create_app": "mintage.app",
    "inspect_token": "mintage.jwt.inspection",
    "load_config": "mintage.app",
    "TokenKey": "mintage.jwt.keyring",
    "derive_jwt_key": "mintage.crypto.derivation",
    "derive_jwt_key_async": "mintage.jwt.issuer",
}

__all__ = [
    "Claims",
    "Config",
    "JWTIssuer",
    "JWTVerifier",
    "KeyRing",
    "TokenKey",
    "__version__",
    "create_app",
    "derive_jwt_key",
    "derive_jwt_key_async",
    "inspect_token",
    "load_config",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mintage' has no attribute {name!r}")
    try:
        value = getattr(import_module(home), name)
    except ImportError as error:
        from mintage.extras import MissingExtra, stand_in

        if not isinstance(error, MissingExtra):
            raise
        value = stand_in(name, error)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
