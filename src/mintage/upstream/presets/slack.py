"""Slack, twice: who the user is (OpenID Connect), or its API in the user's name.

Errors come with status 200, tokens never end, and PKCE is for public clients alone.
"""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import Endpoints, IdentityMap, Lookup, Preset, Quirks

# Not among them: invalid_auth, which Slack also answers to an address that a workspace shuts out.
_WORDS: Final = {
    "invalid_code": "invalid_grant",
    "code_already_used": "invalid_grant",
    "invalid_refresh_token": "invalid_grant",
    "token_expired": "invalid_grant",
    "token_revoked": "invalid_grant",
    "account_inactive": "access_denied",
    "access_denied": "access_denied",
    "bad_client_secret": "invalid_client",
    "invalid_client_id": "invalid_client",
    "bad_redirect_uri": "invalid_request",
    "ratelimited": "temporarily_unavailable",
    "internal_error": "server_error",
    "fatal_error": "server_error",
    "service_unavailable": "server_error",
    "request_timeout": "server_error",
}

PRESET: Final = Preset(
    name="slack",
    title="Slack",
    public={},
    issuer="https://slack.com",
    endpoints=Endpoints(revocation="https://slack.com/api/auth.revoke"),
    scopes=("openid", "email", "profile"),
    identity=IdentityMap(organizations=Pick(("https://slack.com/team_id",))),
    quirks=Quirks(
        auth_method="client_secret_post",
        pkce=False,
        prompts={},
        max_age=False,
        login_hint=None,
        errors_in_200=True,
        error_words=_WORDS,
        revocation="bearer",
    ),
)

API: Final = Preset(
    name="slack_api",
    title="Slack",
    public={},
    issuer="https://slack.com",
    discovery=False,
    endpoints=Endpoints(
        authorization="https://slack.com/oauth/v2/authorize",
        tokens="https://slack.com/api/oauth.v2.access",
        revocation="https://slack.com/api/auth.revoke",
    ),
    scopes=("users.profile:read", "users:read.email"),
    lookups=(
        Lookup(into="user", url="https://slack.com/api/auth.test"),
        Lookup(
            into="answer",
            url="https://slack.com/api/users.profile.get",
            scopes=frozenset({"users.profile:read"}),
        ),
    ),
    identity=IdentityMap(
        subject=Pick(("user", "user_id")),
        email=Pick(("answer", "profile", "email")),
        name=Pick(("answer", "profile", "real_name")),
        preferred_username=Pick(("user", "user")),
        organizations=Pick(("user", "team_id")),
    ),
    quirks=Quirks(
        auth_method="client_secret_post",
        pkce=False,
        scope_separator=",",
        answered_separator=",",
        scope_parameter="user_scope",
        tokens_under="authed_user",
        token_types=frozenset({"bearer", "user"}),
        prompts={},
        max_age=False,
        login_hint=None,
        errors_in_200=True,
        error_words=_WORDS,
        revocation="bearer",
    ),
)
