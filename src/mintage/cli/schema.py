"""``mintage schema``: the settings, described for editors."""

import msgspec

from mintage.settings.descriptions import schema as schema_of
from mintage.settings.file import File


def schema() -> int:
    """Print a JSON Schema of mintage.toml.

    Editors complete and check the settings with it: save it as mintage.schema.json beside the
    file, and write ``#:schema ./mintage.schema.json`` as the first line of mintage.toml (Taplo,
    Even Better TOML).
    """
    found = schema_of(File, title="mintage.toml")
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())  # noqa: T201
    return 0
