"""Where a value is in a provider's answer: paths, as values. Pure."""

from collections.abc import Sequence
from typing import Any, Self

import msgspec

from mintage.access.json_pointers import parse_pointer

Path = tuple[str, ...]


class Pick(msgspec.Struct, frozen=True):
    """The value at *path*.

    If there is a list on the path, it continues in the first member whose flags of *where* are all
    true. Without flags it ends there.
    """

    path: Path
    where: tuple[str, ...] = ()

    @classmethod
    def pointer(cls, text: str) -> Self:
        """The path of a JSON pointer (RFC 6901). Raises ``ValueError``."""
        return cls(parse_pointer(text))

    def read(self, document: object) -> Any:
        """The value, or None."""
        for name in self.path:
            if isinstance(document, list) and self.where:
                document = next(filter(self._fits, document), None)
            document = document.get(name) if isinstance(document, dict) else None
        return document

    def _fits(self, member: object) -> bool:
        return isinstance(member, dict) and all(member.get(flag) is True for flag in self.where)


class Each(msgspec.Struct, frozen=True):
    """From each member of the list at *path*: the words at *parts*, joined by a slash."""

    path: Path
    parts: Sequence[Path]

    def read(self, document: object) -> list[str] | None:
        """The words; None if there is no such list. A member that lacks one is left out."""
        members = Pick(self.path).read(document)
        if not isinstance(members, list):
            return None
        rows = ([Pick(part).read(member) for part in self.parts] for member in members)
        return ["/".join(row) for row in rows if all(isinstance(word, str) for word in row)]
