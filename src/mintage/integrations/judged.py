"""What the head of a request says, for an application that routes by more than its path."""

from collections.abc import Awaitable

import msgspec
from starlette.types import Scope

from mintage.app import Running
from mintage.gateway.access_guard import AccessGuard, Screened
from mintage.gateway.headers import RawHeaders
from mintage.gateway.incoming import Incoming
from mintage.gateway.paths import Match
from mintage.resource.bearer import Access
from mintage.site.resource import Resource


class Judged(msgspec.Struct):
    """What the head of a request says. It is not changed once it is kept.

    *root_path*: where the application is mounted. *found*: the resource. *screened*: see
    `AccessGuard.screen`.
    """

    running: Running
    root_path: str
    found: Match[Resource]
    screened: Screened | None = None

    def holds_for(self, running: Running, scope: Scope) -> bool:
        """Whether a request with the same head is judged the same."""
        return self.running is running and self.root_path == scope.get("root_path", "")


class Asked(msgspec.Struct, frozen=True):
    """What *guard* is asked about one request (see `AccessGuard.admit`).

    As a function, it checks a response under way. A partial takes more memory, for as long.
    """

    guard: AccessGuard
    headers: RawHeaders
    resource: Resource
    method: str
    path: str
    incoming: Incoming
    websocket: bool
    screened: Screened

    def __call__(self) -> Awaitable[Access]:
        return self.admit(again=True)

    def admit(self, *, again: bool = False) -> Awaitable[Access]:
        """The access of the request. *again*: it was admitted before."""
        return self.guard.admit(
            self.headers,
            self.resource,
            method=self.method,
            path=self.path,
            incoming=self.incoming,
            websocket=self.websocket,
            again=again,
            screened=self.screened,
        )
