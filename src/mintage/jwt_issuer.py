"""The issuer under the name of FastMCP's module, ``fastmcp.server.auth.jwt_issuer``.

This path stays: change one import, and a program that used that module uses Mintage.
"""

from mintage.crypto.derivation import derive_jwt_key
from mintage.jwt.claims import Claims
from mintage.jwt.issuer import JWTIssuer, derive_jwt_key_async
from mintage.jwt.keyring import KeyRing, TokenKey

__all__ = [
    "Claims",
    "JWTIssuer",
    "KeyRing",
    "TokenKey",
    "derive_jwt_key",
    "derive_jwt_key_async",
]
