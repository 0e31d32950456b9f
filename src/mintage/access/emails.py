"""Decides whether an e-mail address is the user's: only if the provider says so. Pure.

Any user can write any address into an account. Only ``email_verified: true`` is evidence.
"""

from collections.abc import Mapping
from typing import Any


def verified_email(claims: Mapping[str, Any]) -> str | None:
    """The user's e-mail address; None unless the provider says that it verified it."""
    email = claims.get("email")
    return email if claims.get("email_verified") is True and isinstance(email, str) else None


def without_unverified_email(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """*claims* for other programs: without ``email`` unless the provider verified it."""
    if "email" not in claims or verified_email(claims) is not None:
        return claims
    return {name: value for name, value in claims.items() if name != "email"}
