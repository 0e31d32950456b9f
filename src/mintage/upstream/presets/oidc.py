"""Any provider that does OpenID Connect by the book."""

from typing import Final

from mintage.upstream.preset import Preset

PRESET: Final = Preset(name="oidc", title="OpenID Connect")
