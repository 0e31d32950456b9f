"""The head of a request whose upgrade to another protocol is declined (RFC 9110 §7.8)."""


def without_offer(
    method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The head of a request without ``Upgrade``, and without its name in ``Connection``."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        if name in (b"upgrade", b"http2-settings"):
            continue
        kept = value
        if name == b"connection":
            options = [option.strip(b" \t") for option in value.split(b",")]
            kept = b", ".join(
                option
                for option in options
                if option.lower() not in (b"upgrade", b"http2-settings")
            )
            if not kept:
                continue
        lines.append(b"%b: %b" % (name, kept))
    return b"\r\n".join(lines) + b"\r\n\r\n"
