"""Text of others as text, without the packages that draw tables."""


def as_text(value: str) -> str:
    """*value* with control characters and changes of direction spelled out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)


def counted(number: int, what: str) -> str:
    """*number* and the noun *what*, in the plural unless the number is 1."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
