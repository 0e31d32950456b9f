"""Where the commands find the settings, if nobody names a file."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

VARIABLE: Final = "MINTAGE_CONFIG"

SettingsFile: TypeAlias = Annotated[
    Path, Parameter(env_var=VARIABLE, help="The TOML file with the settings.")
]
