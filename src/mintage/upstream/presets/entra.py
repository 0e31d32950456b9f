"""Microsoft Entra ID: one tenant, or the users of many."""

from typing import Final

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import IdentityMap, Preset, Quirks

PRESET: Final = Preset(
    name="entra",
    title="Microsoft Entra ID",
    public={"tenant": ("common", "organizations", "consumers")},
    issuer="https://{domain}/{tenant}/v2.0",
    parameters={"domain": "login.microsoftonline.com", "tenant": None},
    scopes=("openid", "email", "profile", "offline_access"),
    # A tenant's administrator can write any e-mail address into it. That its domain is the
    # tenant's own is only said by xms_edov, an optional claim.
    identity=IdentityMap(email_verified=Pick(("xms_edov",))),
    quirks=Quirks(
        auth_method="client_secret_post",
        issuer_template="https://{domain}/{tenantid}/v2.0",
        max_age=False,
        # Too many requests for one user are answered with invalid_grant, AADSTS50196.
        passing_codes=frozenset({50196}),
        userinfo="never",
        replaces_tokens=False,
    ),
)
