"""Okta: the org server, or a custom one with an issuer of its own."""

from typing import Final

from mintage.upstream.preset import Preset, Quirks

PRESET: Final = Preset(
    name="okta",
    title="Okta",
    issuer="https://{domain}",
    parameters={"domain": None},
    scopes=("openid", "email", "profile", "groups", "offline_access"),
    quirks=Quirks(
        userinfo="always", replaces_tokens=False
    ),  # its id_tokens are thin when an access token comes along
)
