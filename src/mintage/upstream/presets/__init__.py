"""Identity providers as data. A new one is a file and a line in the table below."""

from typing import Final

from mintage.upstream.preset import Preset
from mintage.upstream.presets import oidc

_PRESETS: Final = {preset.name: preset for preset in (oidc.PRESET,)}


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises ``ValueError``, which names those that there are."""
    preset = _PRESETS.get(name)
    if preset is None:
        raise ValueError("must be one of: " + ", ".join(_PRESETS))
    return preset
