"""``[grant_types]``: the grant types that are off unless the settings have a table for them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from mintage.server.capabilities import CORE_GRANT_TYPES
from mintage.server.exchange_request import GRANT_TYPE as TOKEN_EXCHANGE


class TokenExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types.token_exchange]``: backends exchange users' tokens (RFC 8693).

    It is on if the table is there. What a backend may exchange is in `[client.token_exchange]`.
    """

    lifetime: Annotated[int, Meta(ge=1, le=86400)] = 300
    """How many seconds an exchanged token lives at most. It never outlives the token that it was
    exchanged for.
    """


class GrantTypesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types]``: a table for each grant type beside those of a login."""

    token_exchange: TokenExchangeSection | None = None
    """Token exchange (RFC 8693). Off without the table."""

    @property
    def names(self) -> tuple[str, ...]:
        """The ``grant_type`` of each one that is on."""
        more = {TOKEN_EXCHANGE: self.token_exchange}
        on = (name for name, section in more.items() if section is not None)
        return (*CORE_GRANT_TYPES, *on)
