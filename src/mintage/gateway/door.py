"""The door of a protected resource: whether a request may pass, and every way to say no.

The gateway has its backends behind it, an integration the routes of the application itself.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import (
    AccessDenied,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    OAuthError,
)
from mintage.gateway.headers import RawHeaders, check_framing
from mintage.gateway.mcp_headers import mirrored
from mintage.gateway.origins import Origins
from mintage.resource.bearer import Access, Bearer, NoToken
from mintage.resource.challenges import challenge
from mintage.scopes import Call
from mintage.server.http import error_response, failure_of
from mintage.site import Resource, Site
from mintage.values import Dice


@dataclass(frozen=True, slots=True)
class Door:
    """One for all resources of a server."""

    site: Site
    bearer: Bearer
    origins: Origins
    dice: Dice

    async def admit(
        self, headers: RawHeaders, resource: Resource, *, method: str, path: str
    ) -> Access:
        """The access that a request has; *path* is below the resource's own.

        Raises `MintageError` where it has none: the page it comes from, how its body is framed,
        its token and the rules of *resource* are looked at, in this order.
        """
        if not self.origins.accept(headers):
            raise AccessDenied(
                "pages of this origin may not call this server; whoever runs it may allow them",
                reason="unknown Origin",
                stage="request",
            )
        check_framing(headers)
        call = _call(headers, resource, method, path) if resource.rules else None
        return await self.bearer.check(headers, resource, call)

    def refusal(
        self, error: Exception, request: Request, resource: Resource, *, slash: bool
    ) -> Response:
        """What the client reads of *error*. *slash*: the resource was named with one at its end."""
        failure = failure_of(error, request, self.dice)
        response = error_response(failure)
        if isinstance(failure.error, NoToken | InvalidToken | InsufficientScope | InvalidRequest):
            named: OAuthError | None = failure.error
            if isinstance(failure.error, NoToken):
                named = None
            metadata = self.site.metadata_url(resource)
            if slash:
                metadata += "/"  # strict clients compare its "resource" with the URL that they use
            response.headers["www-authenticate"] = challenge(resource, metadata, named)
        return response


def _call(headers: RawHeaders, resource: Resource, method: str, path: str) -> Call:
    """What the rules of *resource* look at."""
    operation = tool = None
    if any(rule.reads_mcp_headers for rule in resource.rules):
        operation, tool = mirrored(headers, method=method)
    return Call(method=method, path=path, operation=operation, tool=tool)
