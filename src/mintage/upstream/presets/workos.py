"""WorkOS: an AuthKit domain and a Connect application."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="workos",
    title="WorkOS",
    issuer="https://{domain}",
    parameters={"domain": None},
    scopes=("openid", "email", "profile", "offline_access"),
    identity=IdentityMap(organizations=Pick(("org_id",))),
    quirks=Quirks(auth_method="client_secret_post", max_age=False, replaces_tokens=False),
)
