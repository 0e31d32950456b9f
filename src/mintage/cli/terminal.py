"""What others wrote, on an operator's terminal: as text, never as something that steers it."""

import sys
from typing import Final

from rich.console import Console
from rich.text import Text

_ENDLESS: Final = 100_000  # columns


def for_tables() -> Console:
    """As wide as the terminal. What goes to a file or to a program is cut nowhere."""
    return Console() if sys.stdout.isatty() else Console(width=_ENDLESS)


def counted(number: int, what: str) -> str:
    """*number* and the noun *what*, in the plural unless there is one."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def harmless(value: str) -> Text:
    """*value* as text. Control characters and changes of direction are spelled out."""
    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in value))
