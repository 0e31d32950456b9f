"""Which client id metadata documents are accepted. Pure."""

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from mintage.clients.client import Client

AcceptClient: TypeAlias = Callable[[Client], Awaitable[bool]]
"""Whether a client that came by its document may log in; asked each time it is looked up."""


class DocumentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The hosts that documents, and keys of clients without an operator's entry, may come from.

    Hosts by glob: ``*.example.com`` matches every name below it, and not the name itself.

    *deny* comes first. An empty *allow* allows all. *why_off*, for the log: what disabled
    documents if the configuration did not.
    """

    enabled: bool = True
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    why_off: str = ""

    def permits(self, host: str) -> bool:
        """Whether documents and keys may come from *host* (lower case, without port)."""
        if not self.enabled or any(fnmatchcase(host, glob) for glob in self.deny):
            return False
        return not self.allow or any(fnmatchcase(host, glob) for glob in self.allow)

    def permits_url(self, url: str) -> bool:
        return self.permits(urlsplit(url).hostname or "")
