"""Mintage: the token factory for OAuth proxies.

The names below load on first use, so that a program that only wants the issuer
imports no web framework, no HTTP client and no template engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mintage.claims import Claims
    from mintage.jwt_issuer import JWTIssuer, derive_jwt_key_async
    from mintage.jwt_verifier import JWTVerifier
    from mintage.keyring import KeyRing, TokenKey
    from mintage.keys import derive_jwt_key

__version__ = "0.1.0"

_HOMES = {
    "Claims": "mintage.claims",
    "JWTIssuer": "mintage.jwt_issuer",
    "JWTVerifier": "mintage.jwt_verifier",
    "KeyRing": "mintage.keyring",
    "TokenKey": "mintage.keyring",
    "derive_jwt_key": "mintage.keys",
    "derive_jwt_key_async": "mintage.jwt_issuer",
}

__all__ = [
    "Claims",
    "JWTIssuer",
    "JWTVerifier",
    "KeyRing",
    "TokenKey",
    "__version__",
    "derive_jwt_key",
    "derive_jwt_key_async",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mintage' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
