"""Mintage: the token factory for OAuth proxies.

The names below load on first use, so that a program that only wants the issuer
imports no web framework, no HTTP client and no template engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mintage.jwt_issuer import JWTIssuer
    from mintage.keys import derive_jwt_key

__version__ = "0.1.0"

_HOMES = {
    "JWTIssuer": "mintage.jwt_issuer",
    "derive_jwt_key": "mintage.keys",
}

__all__ = ["JWTIssuer", "__version__", "derive_jwt_key"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mintage' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
