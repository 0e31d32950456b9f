"""What the pages say to type. A way that types anything else does not follow them."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"`([^`]+)`")


class NotSaid(Exception):
    """A page does not say what a way wants to type. Its text is what was looked for."""


def block(page: str, having: str) -> str:
    """The code block of *page* that has *having* in it, without the prompts of a console."""
    for language, text in _FENCE.findall(_read(page)):
        if having in text:
            return re.sub(r"^\$ ", "", text, flags=re.MULTILINE) if language == "console" else text
    raise NotSaid(f"{page} has no code block with: {having}")


def line(page: str, begins: str) -> str:
    """The one line of a code block of *page* that begins with *begins*."""
    for each in block(page, begins).splitlines():
        if each.startswith(begins):
            return each
    raise NotSaid(f"{page} has no line that begins with: {begins}")


def row(page: str, begins: str) -> list[str]:
    """The code in the cell after *begins*, in a row of a table of *page*."""
    for each in _read(page).splitlines():
        if each.startswith(f"| {begins} |"):
            return _SPAN.findall(each.split("|")[2])
    raise NotSaid(f"{page} has no row that begins with: {begins}")


def _read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")
