"""How a token is revoked at a provider: by the standard (RFC 7009), or in its own way. Pure."""

from typing import Final
from urllib.parse import quote

from mintage.grants.states import UpstreamTokens
from mintage.upstream import oauth2
from mintage.upstream.answers import Unknown, to_does_it_hold
from mintage.upstream.authentication import ClientCredentials
from mintage.upstream.preset import Quirks
from mintage.upstream.protocol import HttpRequest, HttpResponse
from mintage.upstream.upstream import Upstream
from mintage.upstream.user import bearer_request

_DONE: Final = (200, 204)
_UNAUTHORIZED: Final = 401
_GONE: Final = (404, 422)  # as a token is answered that is not there any more


def revocation_request(
    upstream: Upstream,
    endpoint: str | None,
    tokens: UpstreamTokens,
    *,
    credentials: ClientCredentials,
    audience: str,
    jti: str,
    now: int,
) -> HttpRequest | None:
    """The request that revokes *tokens*; None if the provider has none."""
    if endpoint is None:
        return None
    quirks = upstream.quirks
    match quirks.revocation:
        case "rfc7009":
            form = oauth2.revocation_form(tokens)
            return credentials.post(
                endpoint, form, audience=audience, jti=jti, now=now, about="revocation"
            )
        case "delete_token":
            # As an API's own call: Basic whatever the token endpoint takes, the token as JSON.
            return HttpRequest(
                method="DELETE",
                url=endpoint.replace("{client_id}", quote(credentials.client_id, safe="")),
                about="revocation",
                headers={**quirks.api_headers, **credentials.basic()},
                json={"access_token": tokens.access_token},
            )
        case "bearer":
            return bearer_request(endpoint, tokens, quirks.api_headers, about="revocation")


def is_done(response: HttpResponse, quirks: Quirks) -> bool:
    """Whether the token is invalid, by *response* or before it."""
    match quirks.revocation:
        case "rfc7009":
            return response.status == _DONE[0]
        case "delete_token":
            return response.status in (*_DONE, *_GONE)
        case "bearer":
            return response.status == _UNAUTHORIZED or _agreed(response, quirks)


def _agreed(response: HttpResponse, quirks: Quirks) -> bool:
    """Whether a good status means it. An answer that the token was invalid already is as good."""
    if response.status not in _DONE or not quirks.errors_in_200:
        return response.status in _DONE
    answer = to_does_it_hold(response, quirks, now=0)
    return not isinstance(answer, Unknown)
