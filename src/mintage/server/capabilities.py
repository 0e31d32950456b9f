"""What a server can do by its settings: for its metadata and its OpenAPI document."""

from dataclasses import dataclass
from typing import Final

CORE_GRANT_TYPES: Final = ("authorization_code", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """*registration*, *documents*: how clients may register (RFC 7591, CIMD).

    *keys*: whether it publishes public keys, with which other programs verify its access tokens.
    *status_list*: whether it publishes which of these were revoked. *grant_types*: those of its
    token endpoint, by their names. *must_push*: whether all clients must push their authorization
    requests (RFC 9126 §5). *grant_profiles*: the kinds of assertions that it takes. *signing_alg*:
    the algorithm of the key in use, if *keys* and it is known.
    """

    registration: bool
    documents: bool
    keys: bool = False
    status_list: bool = False
    grant_types: tuple[str, ...] = CORE_GRANT_TYPES
    must_push: bool = False
    grant_profiles: tuple[str, ...] = ()
    signing_alg: str | None = None
