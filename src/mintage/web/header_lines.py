"""Header lines as bytes, for the server and for the client of the backends. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {0x09})
_USUAL: Final = 64  # bytes of a name that is remembered
_USUAL_LINES: Final = 2048  # bytes of all names of a message that are remembered


class _Beginnings(BoundedMemory[bytes, bytes]):
    def __missing__(self, name: bytes) -> bytes:
        if not _NAME.fullmatch(name):
            raise ValueError("the name of a header is not a token")
        beginning = b"\r\n%b: " % name.lower()
        if len(name) <= _USUAL:
            self[name] = beginning
        return beginning


beginnings: Final = _Beginnings(1024)
"""By name: the line break before a header's line, and the line up to its value.

Raises ``ValueError`` for a name that is none. Programs send the same few names again and again.
"""


def control_characters(head: bytes) -> int:
    """How many there are in *head*, line breaks included; a tab is none.

    Who made *head* knows how many line breaks are its own: with more, a value holds one, and could
    begin a line that says whatever it likes (RFC 9110 §5.5).
    """
    return len(head) - len(head.translate(None, _CONTROLS))


class _Templates(BoundedMemory[tuple[bytes, ...], bytes]):
    """By the names of headers: their lines, with ``%b`` for each value. The same few come again."""

    def __missing__(self, names: tuple[bytes, ...]) -> bytes:
        template = b"".join(beginnings[name].replace(b"%", b"%%") + b"%b" for name in names)
        if len(template) <= _USUAL_LINES:
            self[names] = template
        return template


templates: Final = _Templates(1024)


def lines_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """*headers*, each after a line break.

    Raises ``ValueError`` for a name that is none, and for a control character in a value.
    """
    if not headers:
        return b""
    # There is no step of Python for each.
    names, values = zip(*headers)  # noqa: B905  (they are pairs)
    lines = templates[names] % values
    if control_characters(lines) != BREAK * len(names):
        raise ValueError("the value of a header holds a control character")
    return lines


BREAK: Final = 2  # characters that begin a line
