"""How the pages of a server look: whose server it is, and whom a person can ask."""

from typing import Final

import msgspec

from mintage.partly_shown import PartlyShown

COLOR: Final = "#0b57d0"


class Logo(PartlyShown, frozen=True, kw_only=True):
    """A picture, as it is served. *media_type*: its type (RFC 6838)."""

    not_shown = ("content",)

    content: bytes
    media_type: str


class Branding(msgspec.Struct, frozen=True, kw_only=True):
    """*name*: what people call the server; None: the host of its address.

    *support*: whom to ask, in words, as an e-mail address or as an https URL. *color*: of buttons
    and links, as ``#0b57d0``. *templates*: the directory with templates that replace Mintage's.
    """

    name: str | None = None
    logo: Logo | None = None
    support: str | None = None
    color: str = COLOR
    templates: str | None = None

    @property
    def support_link(self) -> str | None:
        """Where a link to *support* leads; None if it is in words."""
        if self.support is None or " " in self.support:
            return None
        if self.support.startswith("https://"):
            return self.support
        return f"mailto:{self.support}" if "@" in self.support else None
