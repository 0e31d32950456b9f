"""``[grant_types]``: the grant types that are off unless the settings have a table for them."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from mintage.server.capabilities import CORE_GRANT_TYPES, GrantTypes
from mintage.server.grant_type import GrantType
from mintage.server.grant_types.client_credentials import ClientCredentials
from mintage.server.grant_types.device_code import DeviceCodeGrant
from mintage.server.grant_types.jwt_bearer import JwtBearer
from mintage.server.grant_types.token_exchange import TokenExchange

_Seconds = Annotated[int, Meta(ge=60, le=86400)]

TABLES: Final[Mapping[str, type[GrantType]]] = {
    "token_exchange": TokenExchange,
    "client_credentials": ClientCredentials,
    "device_code": DeviceCodeGrant,
    "jwt_bearer": JwtBearer,
}
"""The grant type that each table turns on."""


class TokenExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types.token_exchange]``: backends exchange users' tokens (RFC 8693).

    It is on if the table is there. What a backend may exchange is in `[client.token_exchange]`.
    """

    lifetime: Annotated[int, Meta(ge=1, le=86400)] = 300
    """How many seconds an exchanged token lives at most. It never outlives the token that it was
    exchanged for.
    """


class ClientCredentialsSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """``[grant_types.client_credentials]``: clients get tokens for themselves (RFC 6749 §4.4).

    It is for clients of `[[client]]` that list it, and for no others: [let a headless agent
    in](how-to/let-a-headless-agent-in.md).
    """

    lifetime: _Seconds = 900
    """Seconds that such a token is valid, but no longer than `tokens.access_token_lifetime`. There
    is no refresh token: the client asks again.
    """


class DeviceCodeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types.device_code]``: login for devices without a browser (RFC 8628).

    Write the table, even an empty one, to turn it on: [how to](how-to/log-in-a-device.md).
    """

    lifetime: Annotated[int, Meta(ge=60, le=1800)] = 600
    """For how many seconds a code lasts: in this time a person types it and logs in."""
    interval: Annotated[int, Meta(ge=1, le=60)] = 5
    """How many seconds a device must wait between two polls."""


class JwtBearerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types.jwt_bearer]``: assertions of trusted issuers take the place of a login.

    Each `[[trusted_issuer]]` says whose (RFC 7523).
    """

    lifetime: _Seconds = 900
    """Seconds that such a token is valid, but no longer than `tokens.access_token_lifetime`. There
    is no refresh token: the client gets a new assertion.
    """


class GrantTypesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types]``: a table for each grant type beside those of a login."""

    token_exchange: TokenExchangeSection | None = None
    """Token exchange (RFC 8693). Off without the table."""
    client_credentials: ClientCredentialsSection | None = None
    """Clients get tokens for themselves. Off without the table."""
    device_code: DeviceCodeSection | None = None
    """Login for devices without a browser (RFC 8628). Off without the table."""
    jwt_bearer: JwtBearerSection | None = None
    """Assertions of trusted issuers take the place of a login. Off without the table."""

    def enabled(self, *, logins: bool) -> GrantTypes:
        """Those that are on. *logins*: whether people log in, so that theirs are on too."""
        tables = (each for table, each in TABLES.items() if getattr(self, table) is not None)
        return (*(CORE_GRANT_TYPES if logins else ()), *tables)
