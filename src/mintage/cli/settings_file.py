"""Where the commands find the settings, if nobody names a file."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

HERE: Final = Path("mintage.toml")
"""The file that is read without ``--config`` and without ``MINTAGE_CONFIG``."""

SettingsFile: TypeAlias = Annotated[
    Path, Parameter(env_var="MINTAGE_CONFIG", help="The TOML file with the settings.")
]
