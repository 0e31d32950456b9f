"""The one test of an e-mail address: whether the provider says that it is the user's. Pure.

Anybody can write any address into an account. Only ``email_verified: true`` makes it evidence.
"""

from collections.abc import Mapping
from typing import Any


def verified_email(claims: Mapping[str, Any]) -> str | None:
    """The user's e-mail address; None unless the provider says that it verified it."""
    email = claims.get("email")
    return email if claims.get("email_verified") is True and isinstance(email, str) else None


def without_unverified_email(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """*claims* as others may read them: ``email`` is left out unless it is verified."""
    if "email" not in claims or verified_email(claims) is not None:
        return claims
    return {name: value for name, value in claims.items() if name != "email"}
