"""GitLab, hosted or self-managed."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="gitlab",
    title="GitLab",
    public={"domain": ("gitlab.com",)},
    issuer="https://{domain}",
    parameters={"domain": "gitlab.com"},
    scopes=("openid", "email", "profile"),  # a refresh token comes unasked
    identity=IdentityMap(
        preferred_username=Pick(("nickname",)),
        groups=Pick(("groups",)),  # userinfo's: all; the id_token has only groups_direct
    ),
    quirks=Quirks(userinfo="always"),
)
