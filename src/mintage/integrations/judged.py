"""What the head of a request says, for an application that routes by more than its path."""

import msgspec
from starlette.types import Scope

from mintage.app import Running
from mintage.gateway.access_guard import Screened
from mintage.gateway.paths import Match
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
