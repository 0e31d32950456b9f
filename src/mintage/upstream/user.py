"""Questions about a user, asked with the user's token, and what the answers mean. Pure."""

from typing import Any, Final

from msgspec.structs import replace

from mintage.errors import UpstreamMisbehaved, UpstreamRefused
from mintage.grant import UpstreamTokens
from mintage.upstream import oauth2
from mintage.upstream.preset import Lookup, Parameters, Quirks
from mintage.upstream.protocol import HttpRequest, HttpResponse
from mintage.upstream.provider import Provider

MAX_PAGES: Final = 6  # of a hundred: one more than a claim can hold
_OK: Final = 200
_UNAUTHORIZED: Final = 401


def is_asked(lookup: Lookup, tokens: UpstreamTokens, scopes: tuple[str, ...]) -> bool:
    """Whether the token may ask this: by what was granted, or else by what was asked for."""
    granted = scopes if tokens.scope is None else tokens.scope.split()
    return not lookup.scopes or not lookup.scopes.isdisjoint(granted)


def bearer_request(url: str, tokens: UpstreamTokens, headers: Parameters) -> HttpRequest:
    """A question to *url* in the user's name (RFC 6750 §2.1)."""
    return HttpRequest(
        method="GET",
        url=url,
        headers={**headers, "authorization": f"Bearer {tokens.access_token}"},
        safe=True,
    )


def question(
    lookup: Lookup,
    provider: Provider,
    userinfo_endpoint: str | None,
    tokens: UpstreamTokens,
    *,
    page: int = 1,
) -> HttpRequest:
    """*lookup*'s request for its page number *page*."""
    url = lookup.url or userinfo_endpoint
    if url is None:
        raise UpstreamMisbehaved("the provider has no userinfo endpoint: who is the user?")
    if lookup.page_size is not None:
        url = f"{url}?per_page={lookup.page_size}&page={page}"
    return bearer_request(url, tokens, provider.quirks.api_headers)


def read_answer(response: HttpResponse, lookup: Lookup, quirks: Quirks) -> Any:
    """What the provider said. Raises `UpstreamMisbehaved` where it had to answer and did not."""
    body = oauth2.read_any(response) if response.status == _OK else None
    if quirks.errors_in_200 and isinstance(body, dict) and oauth2.is_error(body):
        body = None
    if lookup.page_size is not None:
        return body if isinstance(body, list) else []
    if body is None and lookup.scopes:  # it tells nothing, and rules that need it say no
        return {}
    if body is None or (lookup.into == "" and not isinstance(body, dict)):
        raise UpstreamMisbehaved(f"who the user is was not told (status {response.status})")
    return body


def goes_on(part: Any, lookup: Lookup) -> bool:
    """Whether there is a page after *part*."""
    return lookup.page_size is not None and len(part) >= lookup.page_size


def first_question(
    provider: Provider, userinfo_endpoint: str | None, tokens: UpstreamTokens
) -> HttpRequest | None:
    """What shows whether a token still holds; None where there is nothing to ask."""
    url = provider.lookups[0].url if provider.lookups else ""
    if not url and userinfo_endpoint is None:
        return None
    return bearer_request(url or str(userinfo_endpoint), tokens, provider.quirks.api_headers)


def read_liveness(response: HttpResponse, quirks: Quirks) -> bool:
    """Whether the token still holds.

    401 is the provider's no (RFC 6750 §3.1). Anything else that is not a yes says nothing
    about the token, and raises `UpstreamMisbehaved` or `UpstreamUnavailable`: the login lives.
    """
    if response.status == _UNAUTHORIZED:
        return False
    if response.status != _OK:
        raise UpstreamMisbehaved(f"a look at the token was answered with {response.status}")
    if not quirks.errors_in_200:
        return True
    body = oauth2.read_json(response)
    if not oauth2.is_error(body):
        return True
    error = oauth2.refusal(response.status, body, quirks)
    if isinstance(error, UpstreamRefused):
        return False
    raise error


def read_introspection(response: HttpResponse) -> bool:
    """Whether the token is active (RFC 7662 §2.2). A 401 there is about us, not about the token."""
    if response.status != _OK:
        raise UpstreamMisbehaved(f"introspection was answered with {response.status}")
    active = oauth2.read_json(response).get("active")
    if not isinstance(active, bool):
        raise UpstreamMisbehaved("introspection does not tell whether the token is active")
    return active


def good_until(tokens: UpstreamTokens, at: int) -> UpstreamTokens:
    """The same tokens, to be looked at again at *at* (seconds since the epoch)."""
    return replace(tokens, expires_at=at)
