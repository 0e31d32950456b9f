"""Any provider of plain OAuth 2. Its userinfo endpoint says who the user is."""

from typing import Final

from mintage.upstream.preset import Preset

PRESET: Final = Preset(
    name="oauth2",
    title="OAuth 2.0",
    discovery=False,
    scopes=(),
)
