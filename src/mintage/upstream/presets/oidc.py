"""Any provider that follows OpenID Connect."""

from typing import Final

from mintage.upstream.preset import Preset

PRESET: Final = Preset(name="oidc", title="OpenID Connect")
