"""The error for a command if no server has created the store yet."""

from pathlib import Path
from typing import Final

_WHO: Final = (
    "the server makes {} at its first start. Is this the configuration it was started with?"
)

NO_TABLES: Final = (
    f"there are no tables of Mintage in this database or schema: {_WHO.format('them')}"
)


def no_store_at(path: Path) -> str:
    """There is no file at *path*."""
    return f"there is none at {path}: {_WHO.format('it')}"
