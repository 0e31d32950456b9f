"""Identity providers as data. A new one is a file and a line in the table below."""

from typing import Final

from mintage.upstream.preset import Preset
from mintage.upstream.presets import (
    atlassian,
    auth0,
    clerk,
    cognito,
    discord,
    entra,
    github,
    gitlab,
    google,
    keycloak,
    oauth2,
    oidc,
    okta,
    slack,
    workos,
)

PRESETS: Final = {
    preset.name: preset
    for preset in (
        oidc.PRESET,
        oauth2.PRESET,
        github.PRESET,
        google.PRESET,
        entra.PRESET,
        okta.PRESET,
        auth0.PRESET,
        keycloak.PRESET,
        gitlab.PRESET,
        slack.PRESET,
        slack.API,
        discord.PRESET,
        atlassian.PRESET,
        cognito.PRESET,
        clerk.PRESET,
        workos.PRESET,
    )
}


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises ``ValueError``, which names those that there are."""
    preset = PRESETS.get(name)
    if preset is None:
        raise ValueError("must be one of: " + ", ".join(PRESETS))
    return preset
