"""Discord: OAuth without OpenID Connect."""

from typing import Final

from mintage.upstream.json_paths import Each, Pick
from mintage.upstream.preset import (
    Endpoints,
    IdentityMap,
    Lookup,
    Preset,
    Quirks,
)

PRESET: Final = Preset(
    name="discord",
    title="Discord",
    public={},
    issuer="https://discord.com",
    discovery=False,
    endpoints=Endpoints(
        authorization="https://discord.com/oauth2/authorize",
        tokens="https://discord.com/api/oauth2/token",
        revocation="https://discord.com/api/oauth2/token/revoke",
    ),
    scopes=("identify", "email"),
    lookups=(
        Lookup(into="user", url="https://discord.com/api/v10/users/@me"),
        Lookup(
            into="guilds",
            url="https://discord.com/api/v10/users/@me/guilds",
            scopes=frozenset({"guilds"}),
            listed=True,
        ),
    ),
    identity=IdentityMap(
        subject=Pick(("user", "id")),
        email=Pick(("user", "email")),
        email_verified=Pick(("user", "verified")),
        name=Pick(("user", "global_name")),
        preferred_username=Pick(("user", "username")),
        organizations=Each(("guilds",), (("id",),)),  # any guild may have any name
    ),
    quirks=Quirks(
        auth_method="client_secret_basic",
        prompts={"none": "none", "consent": "consent"},
        max_age=False,
        login_hint=None,
        dead_token_words=frozenset({"401: Unauthorized"}),
    ),
)
