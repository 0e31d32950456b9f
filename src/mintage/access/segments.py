"""The segments of a path as the most lenient servers read them. Pure.

Servers differ in what they decode, cut off and fold. Code that decides by a path compares this
reading as well as the plain one. If the two differ, the path could mean two resources.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

_SEPARATOR: Final = re.compile(r"[/\\]")
# Servlet containers cut off what follows a semicolon; some code splits a decoded path at ? or #.
_END: Final = re.compile(r"[;?#]")


def decoded_segments(path: str) -> list[str]:
    """The segments of *path*, decoded once and in compatibility form (NFKC), in their own case.

    An encoded slash and a backslash separate segments too. Empty segments are left out.
    """
    text = unquote(path)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return [_END.split(part, maxsplit=1)[0] for part in _SEPARATOR.split(text) if part]


def folded_segments(path: str) -> tuple[str, ...]:
    """`decoded_segments` without case, and without the blanks and dots that Windows drops."""
    folded = (part.strip(" ").rstrip(" .").casefold() for part in decoded_segments(path))
    return tuple(part for part in folded if part)
