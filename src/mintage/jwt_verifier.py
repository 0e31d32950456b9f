"""Verifying Mintage's tokens elsewhere: `mintage.jwt.verifier` under a path that stays."""

from mintage.jwt.claims import Claims
from mintage.jwt.verifier import Fetch, Fetched, JWTVerifier

__all__ = ["Claims", "Fetch", "Fetched", "JWTVerifier"]
