"""Whether the web page that a request comes from may call a resource (MCP, transports: Origin).

The origin is true even if the page pointed its own name at this machine (DNS rebinding).
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Origins(msgspec.Struct, frozen=True):
    """Allows pages of this server, pages on the user's own machine, and those in *allowed*.

    *let_any_web_page_call*: all pages are allowed.
    """

    own: str
    allowed: frozenset[str] = frozenset()
    let_any_web_page_call: bool = False

    def accept(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether each ``Origin`` is allowed. A request without one does not come from a page."""
        found = [value for name, value in headers if name.lower() == b"origin"]
        if not found or self.let_any_web_page_call:
            return True
        return all(self._is_known(value.decode("latin-1")) for value in found)

    def _is_known(self, origin: str) -> bool:
        if origin in (self.own, *self.allowed):
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        plain = f"{parts.scheme}://{parts.netloc}" == origin and "@" not in origin
        return plain and parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK


def origin_of(url: str) -> str:
    """The origin that a browser sends for a page at *url*."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
