"""``[branding]``: how the pages that people see look."""

import re
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from mintage.errors import ConfigError
from mintage.site.branding import COLOR, Branding, Logo

_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_MAX_LOGO: Final = 256 * 1024
_TYPES: Final = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}


class BrandingSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[branding]``: how the pages look that people see.

    [Brand the pages](how-to/brand-the-pages.md) has more.
    """

    name: Annotated[str, Meta(min_length=1, max_length=80)] | None = None
    """What the pages call this server.

    Default: the issuer's host
    """
    logo: str | None = None
    """A picture for the pages: a GIF, JPEG, PNG, SVG or WebP file of at most 256 KiB."""
    support: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    """Whom to ask, on all pages: words, an e-mail address, or an https URL."""
    color: str = COLOR
    """The colour of buttons and links, as six hexadecimal digits."""
    templates: str | None = None
    """A directory with [your own templates](how-to/brand-the-pages.md#your-own-templates)."""


def read_branding(section: BrandingSection, base: Path) -> Branding:
    """The branding of *section*; the logo's path is relative to *base*. Raises `ConfigError`."""
    if not _COLOR.fullmatch(section.color):
        raise ConfigError("branding.color", "is written like #0b57d0: six hexadecimal digits")
    return Branding(
        name=section.name,
        logo=None if section.logo is None else _read_logo(base / section.logo),
        support=section.support,
        color=section.color.lower(),
        templates=None if section.templates is None else _read_templates(base / section.templates),
    )


def _read_templates(directory: Path) -> str:
    from mintage.server.pages.templates import templates  # it imports Jinja2

    try:
        templates(str(directory))
    except (OSError, ValueError) as error:
        raise ConfigError("branding.templates", str(error)) from error
    return str(directory.absolute())


def _read_logo(path: Path) -> Logo:
    media_type = _TYPES.get(path.suffix.lower())
    if media_type is None:
        raise ConfigError("branding.logo", "must be a file that ends in: " + ", ".join(_TYPES))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError("branding.logo", f"{path} can't be read: {error.strerror}") from error
    if len(content) > _MAX_LOGO:
        raise ConfigError("branding.logo", f"must be at most {_MAX_LOGO // 1024} KiB long")
    return Logo(content=content, media_type=media_type)
