"""Sign in with Slack: OpenID Connect, with errors in good answers and tokens without an end."""

from typing import Final

from mintage.upstream.picking import Pick
from mintage.upstream.preset import Endpoints, IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="slack",
    title="Slack",
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
        error_words={
            "invalid_code": "invalid_grant",
            "code_already_used": "invalid_grant",
            "invalid_refresh_token": "invalid_grant",
            "token_expired": "invalid_grant",
            "token_revoked": "invalid_grant",
            "invalid_auth": "invalid_grant",
            "not_authed": "invalid_grant",
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
        },
        revocation="bearer",
    ),
)
