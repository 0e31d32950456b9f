"""Questions about a user, asked with the user's token. Pure."""

from typing import Any, Final

from msgspec.structs import replace

from mintage.errors import UpstreamMisbehaved
from mintage.grants.states import UpstreamTokens
from mintage.upstream.preset import Lookup, Parameters
from mintage.upstream.protocol import About, HttpRequest
from mintage.upstream.upstream import Upstream

MAX_PAGES: Final = 6  # of a hundred: one more than a claim can hold


def is_asked(lookup: Lookup, tokens: UpstreamTokens, scopes: tuple[str, ...]) -> bool:
    """Whether the token may ask this: by what was granted, or else by what was asked for."""
    granted = scopes if tokens.scope is None else tokens.scope.split()
    return not lookup.scopes or not lookup.scopes.isdisjoint(granted)


def bearer_request(
    url: str, tokens: UpstreamTokens, headers: Parameters, *, about: About = "user"
) -> HttpRequest:
    """A question to *url* in the user's name (RFC 6750 §2.1)."""
    return HttpRequest(
        method="GET",
        url=url,
        about=about,
        headers={**headers, "authorization": f"Bearer {tokens.access_token}"},
        safe=True,
    )


def question(
    lookup: Lookup,
    upstream: Upstream,
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
    return bearer_request(url, tokens, upstream.quirks.api_headers)


def goes_on(part: Any, lookup: Lookup) -> bool:
    """Whether there is a page after *part*."""
    return lookup.page_size is not None and len(part) >= lookup.page_size


def first_question(
    upstream: Upstream, userinfo_endpoint: str | None, tokens: UpstreamTokens
) -> HttpRequest | None:
    """What shows whether a token still holds; None where there is nothing to ask."""
    url = upstream.lookups[0].url if upstream.lookups else ""
    if not url and (userinfo_endpoint is None or upstream.quirks.userinfo == "never"):
        return None
    return bearer_request(url or str(userinfo_endpoint), tokens, upstream.quirks.api_headers)


def good_until(tokens: UpstreamTokens, at: int) -> UpstreamTokens:
    """The same tokens, to be asked about again at *at* (seconds since the epoch) or their end."""
    return replace(tokens, expires_at=at if tokens.ends_at is None else min(at, tokens.ends_at))
