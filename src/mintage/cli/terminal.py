"""What others wrote, on an operator's terminal: as text, never as something that steers it."""

from rich.text import Text


def harmless(value: str) -> Text:
    """*value* as text. Control characters and changes of direction are spelled out."""
    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in value))
