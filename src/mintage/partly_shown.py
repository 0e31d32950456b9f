"""Structs that don't show all of their fields in a log or a traceback."""

from typing import ClassVar

import msgspec


class PartlyShown(msgspec.Struct, frozen=True):
    """A struct whose ``repr`` leaves out the fields in `not_shown`: secrets, and what is long."""

    not_shown: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name not in self.not_shown
        )
        return f"{type(self).__name__}({', '.join(shown)})"
