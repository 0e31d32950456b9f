"""What a server can do by its settings: for its metadata and its OpenAPI document."""

from collections.abc import Collection
from typing import Final, TypeAlias

import msgspec

from mintage.server.grant_type import GrantType
from mintage.server.grant_types.authorization_code import AuthorizationCode
from mintage.server.grant_types.refresh_token import RefreshToken
from mintage.trust.issuer import Purpose

GrantTypes: TypeAlias = tuple[type[GrantType], ...]

CORE_GRANT_TYPES: Final[GrantTypes] = (AuthorizationCode, RefreshToken)
"""Those of a login: they are on where people log in."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """*registration*, *documents*: how clients may register (RFC 7591, CIMD).

    *keys*: whether it publishes public keys, with which other programs verify its access tokens.
    *status_list*: whether it publishes which of these were revoked. *grant_types*: those of its
    token endpoint. *must_push*: whether all clients must push their authorization requests (RFC
    9126 §5). *assertions*: what the assertions are that it accepts. *signing_alg*: the algorithm of
    the key in use, if *keys* and it is known.
    """

    registration: bool
    documents: bool
    keys: bool = False
    status_list: bool = False
    grant_types: GrantTypes = CORE_GRANT_TYPES
    must_push: bool = False
    assertions: Collection[Purpose] = ()
    signing_alg: str | None = None

    def accepts(self, grant_type: type[GrantType]) -> bool:
        return grant_type in self.grant_types
