"""GitHub, and GitHub Enterprise: OAuth without OpenID Connect, tokens without an end."""

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
    name="github",
    title="GitHub",
    public={"domain": ("github.com",)},
    issuer="https://{domain}",
    discovery=False,
    parameters={"domain": "github.com", "api": "api.github.com"},
    endpoints=Endpoints(
        authorization="https://{domain}/login/oauth/authorize",
        tokens="https://{domain}/login/oauth/access_token",
        revocation="https://{api}/applications/{client_id}/token",
    ),
    scopes=("read:user", "user:email"),
    lookups=(
        Lookup(into="user", url="https://{api}/user"),
        Lookup(
            into="emails",
            url="https://{api}/user/emails",
            scopes=frozenset({"user:email", "user"}),
            page_size=100,
        ),
        Lookup(
            into="orgs",
            url="https://{api}/user/orgs",
            scopes=frozenset({"read:org", "write:org", "admin:org", "user"}),
            page_size=100,
        ),
        Lookup(
            into="teams",
            url="https://{api}/user/teams",
            scopes=frozenset({"read:org", "write:org", "admin:org"}),
            page_size=100,
        ),
    ),
    identity=IdentityMap(
        subject=Pick(("user", "id")),  # a login can be renamed, and then be another user's
        email=Pick(("emails", "email"), where=("primary", "verified")),
        email_verified=Pick(("emails", "verified"), where=("primary", "verified")),
        name=Pick(("user", "name")),
        preferred_username=Pick(("user", "login")),
        groups=Each(("teams",), (("organization", "login"), ("slug",))),
        organizations=Each(("orgs",), (("login",),)),
    ),
    quirks=Quirks(
        auth_method="client_secret_post",
        answered_separator=",",
        prompts={"select_account": "select_account"},
        max_age=False,
        login_hint="login",
        form_answers=True,
        errors_in_200=True,
        error_words={
            "bad_verification_code": "invalid_grant",
            "bad_refresh_token": "invalid_grant",
            "unverified_user_email": "access_denied",
            "incorrect_client_credentials": "invalid_client",
            "redirect_uri_mismatch": "invalid_request",
            "application_suspended": "unauthorized_client",
        },
        dead_token_words=frozenset({"Bad credentials"}),
        partial_header="x-github-sso",
        revocation="delete_token",
        api_headers={
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
        },
    ),
)
