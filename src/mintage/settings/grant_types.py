"""``[grant_types]``: the grant types that are off unless the settings have a table for them."""

import msgspec

from mintage.server.capabilities import CORE_GRANT_TYPES


class GrantTypesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grant_types]``: a table for each grant type beside those of a login."""

    @property
    def names(self) -> tuple[str, ...]:
        """The ``grant_type`` of each one that is on."""
        return CORE_GRANT_TYPES
