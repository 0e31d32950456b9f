"""Atlassian Cloud (Jira, Confluence): OAuth 2.0 with an audience, without OpenID Connect."""

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
    name="atlassian",
    title="Atlassian",
    public={},
    issuer="https://auth.atlassian.com",
    discovery=False,
    endpoints=Endpoints(
        authorization="https://auth.atlassian.com/authorize",
        tokens="https://auth.atlassian.com/oauth/token",
    ),
    scopes=("read:me", "offline_access"),
    lookups=(
        Lookup(into="user", url="https://api.atlassian.com/me"),
        Lookup(
            into="sites",
            url="https://api.atlassian.com/oauth/token/accessible-resources",
            scopes=frozenset({"read:jira-user", "read:jira-work", "read:confluence-user"}),
            listed=True,
        ),
    ),
    identity=IdentityMap(
        subject=Pick(("user", "account_id")),
        email=Pick(("user", "email")),
        name=Pick(("user", "name")),
        preferred_username=Pick(("user", "nickname")),
        organizations=Each(("sites",), (("url",),)),
    ),
    quirks=Quirks(
        auth_method="client_secret_post",
        error_words={"access_denied": "invalid_client"},  # its code for a wrong secret
        refusal_statuses=frozenset({400, 401, 403}),
        pkce=False,
        parameters={"audience": "api.atlassian.com", "prompt": "consent"},
        prompts={},
        max_age=False,
        login_hint=None,
        dead_token_words=frozenset({"Unauthorized"}),
        replaces_tokens=False,
    ),
)
