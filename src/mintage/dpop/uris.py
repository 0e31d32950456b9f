"""One spelling for each URI, so that a proof's ``htu`` can be compared (RFC 9449 §4.3). Pure.

The client writes ``htu`` from the URL that it was given, and its HTTP library may send another
spelling of the same URL. So both are normalized as RFC 3986 §6.2.2 and §6.2.3 say.
"""

import re
from functools import lru_cache
from typing import Final

_URI: Final = re.compile(
    r"(https?|wss?)://([A-Za-z0-9._~!$&'()*+,;=%:\[\]-]+)(/[^?#]*)?(?:[?#][!-~]*)?", re.IGNORECASE
)
# A WebSocket is opened by a request to the URL with http in place of ws (RFC 6455 §4.1).
_SCHEMES: Final = {"ws": "http", "wss": "https"}
_PORTS: Final = {"http": ":80", "https": ":443"}
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
# What programs send as it is or encoded, as they like. The gateway encodes it too.
_UNENCODED: Final = re.compile(r"[\[\]{}|^\"<>`\\]")
_PATH: Final = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")


@lru_cache(maxsize=1024)
def normalized(uri: str) -> str | None:
    """*uri* in its normal spelling, without query and fragment. None if it is no URI for HTTP."""
    found = _URI.fullmatch(uri)
    if found is None:
        return None
    scheme, authority, path = found[1].lower(), found[2].lower(), found[3] or "/"
    scheme = _SCHEMES.get(scheme, scheme)
    if not _PATH.fullmatch(path):
        return None
    host = authority.removesuffix(_PORTS[scheme]).removesuffix(":")
    return f"{scheme}://{host}{_path(path)}"


def _path(path: str) -> str:
    spelled = _UNENCODED.sub(lambda odd: f"%{ord(odd[0]):02X}", _ENCODED.sub(_escape, path))
    if "/." not in spelled:
        return spelled
    kept: list[str] = []
    *parents, last = spelled[1:].split("/")
    for segment in parents:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        del kept[-1:]
    kept.append("" if last in (".", "..") else last)
    return "/" + "/".join(kept)


def _escape(escape: re.Match[str]) -> str:
    char = chr(int(escape[1], 16))
    return char if _UNRESERVED.fullmatch(char) else escape[0].upper()
