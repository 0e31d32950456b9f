"""``/branding/…``: the logo and the icon of the pages, served from this server itself."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mintage.server.pages import icon
from mintage.site.branding import Branding, Logo
from mintage.web.edge import Handler, check_get

_HEADERS: Final = {
    "cache-control": "public, max-age=300",
    "x-content-type-options": "nosniff",
    # An SVG image is a document too if somebody opens it: it may run nothing and load nothing.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


def pictures(branding: Branding) -> dict[str, Logo]:
    """The pictures by their names below ``/branding``."""
    found = {"icon.svg": Logo(content=icon(branding.color).encode(), media_type="image/svg+xml")}
    return found if branding.logo is None else found | {"logo": branding.logo}


def picture(logo: Logo) -> Handler:
    """A handler that serves *logo*."""

    async def endpoint(request: Request) -> Response:
        check_get(request)
        return Response(logo.content, headers=_HEADERS, media_type=logo.media_type)

    return endpoint
