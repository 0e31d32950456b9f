"""What every front door asks before it lets a request in, and how it says no."""

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
class Guard:
    """One for all: gateway, forward-auth and the integrations let in and refuse alike."""

    site: Site
    bearer: Bearer
    origins: Origins
    dice: Dice

    async def admit(
        self, headers: RawHeaders, resource: Resource, *, method: str, path: str
    ) -> Access:
        """The access that a request to *resource* has; *path* is what follows the resource's own.

        Raises `OAuthError` where it has none, `StoreUnavailable` where that can't be known.
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
        self, error: Exception, request: Request, resource: Resource, *, slash: bool = False
    ) -> Response:
        """*error* as an answer, with the challenge of *resource* (RFC 9728 §5.1).

        *slash*: the client used the resource's URL with a slash at its end. Strict clients
        compare it with what the metadata calls itself.
        """
        failure = failure_of(error, request, self.dice)
        response = error_response(failure)
        if isinstance(failure.error, NoToken | InvalidToken | InsufficientScope | InvalidRequest):
            named: OAuthError | None = failure.error
            if isinstance(failure.error, NoToken):
                named = None
            metadata = self.site.metadata_url(resource) + ("/" if slash else "")
            response.headers["www-authenticate"] = challenge(resource, metadata, named)
        return response


def _call(headers: RawHeaders, resource: Resource, method: str, path: str) -> Call:
    """What the rules of *resource* look at."""
    operation = tool = None
    if any(rule.reads_mcp_headers for rule in resource.rules):
        operation, tool = mirrored(headers, method=method)
    return Call(method=method, path=path, operation=operation, tool=tool)
