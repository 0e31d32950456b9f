"""Keycloak: one realm."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="keycloak",
    title="Keycloak",
    issuer="https://{domain}/realms/{realm}",
    parameters={"domain": None, "realm": None},
    scopes=("openid", "email", "profile", "offline_access"),
    identity=IdentityMap(organizations=Pick(("organization",))),
    quirks=Quirks(replaces_tokens=False),
)
