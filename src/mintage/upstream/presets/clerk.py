"""Clerk."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="clerk",
    title="Clerk",
    issuer="https://{domain}",
    parameters={"domain": None},
    scopes=("openid", "email", "profile", "offline_access"),
    identity=IdentityMap(organizations=Pick(("org_id",))),
    quirks=Quirks(max_age=False),
)
