"""JSON pointers (RFC 6901): where in a document a value is."""


def parse_pointer(text: str) -> tuple[str, ...]:
    """The reference tokens of *text*, unescaped (§4). Raises ``ValueError``.

    The empty pointer, which means the whole document, is refused: a setting that names a claim
    means one claim.
    """
    if not text.startswith("/"):
        raise ValueError("must be a JSON pointer, like /email")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
