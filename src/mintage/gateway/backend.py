"""What the gateway has open for one resource: connections to its backend, or its processes."""

from typing import Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from mintage.gateway.header_names import ALL, Passing
from mintage.gateway.http1.pool import Pool
from mintage.resource.bearer import Access
from mintage.site.resource import Resource


class Sessions(Protocol):
    """The sessions of a command that is run here, as the ASGI end of its resource."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, access: Access) -> None:
        """Serve a request of the user that *access* is about."""

    def __len__(self) -> int: ...

    def drain(self) -> None:
        """End the streams on which clients only listen."""

    async def close(self) -> None:
        """End all processes."""


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests for *resource* go: through *pool*, or to *sessions*.

    Without either another server answers. *passing*: which of a client's headers the backend gets.
    """

    resource: Resource
    pool: Pool | None = None
    sessions: Sessions | None = None
    passing: Passing = ALL

    @property
    def answers(self) -> bool:
        """Whether requests go anywhere from here."""
        return self.pool is not None or self.sessions is not None
