"""Auth0. Its issuer ends with a slash."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="auth0",
    title="Auth0",
    issuer="https://{domain}/",
    parameters={"domain": None},
    scopes=("openid", "email", "profile", "offline_access"),
    identity=IdentityMap(organizations=Pick(("org_id",))),
    quirks=Quirks(
        auth_method="client_secret_post",
        refusal_statuses=frozenset({400, 401, 403}),
        replaces_tokens=False,
    ),
)
