"""The way from a page of Mintage to the logout at the provider (RP-Initiated Logout 1.0)."""

import logging

import msgspec

from mintage.errors import UpstreamError
from mintage.upstream.registry import RegisteredUpstream

log = logging.getLogger("mintage.server")


class ProviderLogout(msgspec.Struct, frozen=True):
    """*url*: where the browser logs out. *title*: the provider's name on pages."""

    url: str
    title: str


async def provider_logout(
    upstream: RegisteredUpstream | None, *, back: str
) -> ProviderLogout | None:
    """The logout at *upstream*; None if it has no page for that, or can't be asked now.

    *back*: where the provider may send the browser afterwards.
    """
    if upstream is None:
        return None
    try:
        url = await upstream.logout_url(back)
    except UpstreamError as error:  # the page is shown without it
        log.warning("the logout at %s is not offered: %s", upstream.name, error)
        return None
    return None if url is None else ProviderLogout(url, upstream.title)
