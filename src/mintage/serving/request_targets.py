"""The path and the query in the target of a request (RFC 9112 §3.2). Pure."""

import urllib.parse

import httptools


def read_target(target: bytes) -> tuple[str, bytes, bytes]:
    """(path, decoded; path as it came; query).

    Raises ``ValueError`` for a path that is not ASCII, and `httptools.HttpParserError` for a target
    that is no URL.
    """
    if target[:1] == b"/" and b"#" not in target:  # what nearly all clients send
        raw_path, _, query = target.partition(b"?")
    else:
        parsed = httptools.parse_url(target)
        raw_path, query = parsed.path, parsed.query or b""
    path = raw_path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, raw_path, query
