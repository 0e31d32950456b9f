"""The grant types of a server: those that its settings have."""

from mintage.app.limits import Limits
from mintage.events.event import Emit
from mintage.grant_tokens import Tokens
from mintage.server.grant_types.authorization_code import AuthorizationCode
from mintage.server.grant_types.grant_type import GrantType
from mintage.server.grant_types.refresh_token import RefreshToken
from mintage.site.site import Site
from mintage.vault.vault import Vault


def grant_types(
    site: Site, *, vault: Vault, tokens: Tokens, limits: Limits, emit: Emit
) -> list[GrantType]:
    """What ``/token`` accepts. `GrantTypesSection.names` has the same names, for the metadata."""
    return [
        AuthorizationCode(site=site, vault=vault, tokens=tokens, emit=emit),
        RefreshToken(
            site=site, vault=vault, tokens=tokens, emit=emit, limit=limits.refreshes.check
        ),
    ]
