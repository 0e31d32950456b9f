"""Mintage: the token factory for OAuth proxies.

The names below load on first use, so that a program that only wants the issuer
imports no web framework, no HTTP client and no template engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mintage.crypto.derivation import derive_jwt_key
    from mintage.jwt.claims import Claims
    from mintage.jwt.issuer import JWTIssuer, derive_jwt_key_async
    from mintage.jwt.keyring import KeyRing, TokenKey
    from mintage.jwt.verifier import JWTVerifier

__version__ = "0.1.0"

_HOMES = {
    "Claims": "mintage.jwt.claims",
    "JWTIssuer": "mintage.jwt.issuer",
    "JWTVerifier": "mintage.jwt.verifier",
    "KeyRing": "mintage.jwt.keyring",
    "TokenKey": "mintage.jwt.keyring",
    "derive_jwt_key": "mintage.crypto.derivation",
    "derive_jwt_key_async": "mintage.jwt.issuer",
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
