"""Amazon Cognito: one user pool."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="cognito",
    title="Amazon Cognito",
    issuer="https://cognito-idp.{region}.amazonaws.com/{user_pool}",
    parameters={"region": None, "user_pool": None},
    scopes=("openid", "email", "profile"),  # it refuses offline_access; refresh tokens come unasked
    identity=IdentityMap(
        preferred_username=Pick(("cognito:username",)), groups=Pick(("cognito:groups",))
    ),
    quirks=Quirks(max_age=False, replaces_tokens=False),
)
