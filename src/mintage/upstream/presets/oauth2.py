"""Any provider of plain OAuth 2: who the user is, its userinfo endpoint tells."""

from typing import Final

from mintage.upstream.preset import Preset

PRESET: Final = Preset(
    name="oauth2",
    title="OAuth 2.0",
    discovery=False,
    scopes=(),
)
