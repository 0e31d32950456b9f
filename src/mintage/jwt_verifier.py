"""Verifying Mintage's tokens elsewhere: `mintage.jwt.verifier` under a path that stays.

`RequestVerifier` verifies the tokens that are bound to a key, too (RFC 9449).
"""

from mintage.dpop.verifier import RequestVerifier
from mintage.jwt.claims import Claims, Confirmation
from mintage.jwt.verifier import Fetch, Fetched, JWTVerifier

__all__ = ["Claims", "Confirmation", "Fetch", "Fetched", "JWTVerifier", "RequestVerifier"]
