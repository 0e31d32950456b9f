"""What a browser says about who made a request: ``Sec-Fetch-…`` and ``Origin``. Pure.

A browser sends a cookie with each request, also with one that a page of another site made. So a
request that is allowed because of a cookie must come from a page of the same origin, or from the
user, who went to the address.
"""

from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

from mintage.web.preferences import wants_page

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

_READING: Final = ("GET", "HEAD")
_OF_THE_USER: Final = ("same-origin", "none")
_OPAQUE: Final = "null"


def is_navigation(headers: Headers, method: str) -> bool:
    """Whether the user goes to this address: its answer fills the tab.

    A browser without Fetch Metadata is recognized by what it accepts, unless a script says that the
    request is its own.
    """
    read = _Read(headers)
    if read.mode is None and read.dest is None and read.site is None:
        return not read.by_script and wants_page(method, read.accept)
    return read.mode == "navigate" and read.dest == "document"


def is_forged(
    headers: Headers, method: str, *, own: str, allowed: Collection[str], websocket: bool
) -> bool:
    """Whether another site may have made the browser send this request with its cookies.

    Pages of *own* and of the *allowed* origins may send all requests. Going to the address is
    allowed from everywhere if it only reads. A request that changes something, or opens a
    *websocket*, must say where it comes from.
    """
    read = _Read(headers)
    if read.origin in allowed:
        return False
    if read.origin not in (None, _OPAQUE, own):
        return True
    if method not in _READING or websocket:
        return read.origin != own if read.site is None else read.site != "same-origin"
    if read.site is None:
        return read.origin == _OPAQUE
    return read.site not in _OF_THE_USER and not is_navigation(headers, method)


class _Read:
    """The headers that count. One that comes twice has a value that nothing equals."""

    __slots__ = ("accept", "by_script", "dest", "mode", "origin", "site")

    def __init__(self, headers: Headers) -> None:
        found: dict[bytes, str] = {}
        for name, value in headers:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
        self.site = found.get(b"sec-fetch-site")
        self.mode = found.get(b"sec-fetch-mode")
        self.dest = found.get(b"sec-fetch-dest")
        self.origin = found.get(b"origin")
        self.accept = found.get(b"accept", "")
        self.by_script = b"x-requested-with" in found
