"""What a person at a resource for browsers gets in place of a refusal: the login, or a page."""

from typing import Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.endpoints import SIGN_IN
from mintage.server.browser_cookies import MAX_ADDRESS
from mintage.server.login_errors import FromAnotherSite
from mintage.server.pages import Pages
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.web.edge import NO_STORE, Failure
from mintage.web.fetch_metadata import is_navigation

_NOT_SIGNED_IN: Final = 401
_FORBIDDEN: Final = 403


class BrowserAnswers(msgspec.Struct, frozen=True):
    """Called with a refusal. Programs and scripts get none of this: None."""

    site: Site
    pages: Pages

    def __call__(self, failure: Failure, request: Request, resource: Resource) -> Response | None:
        headers = request.scope["headers"]
        authorized = "authorization" in request.headers
        if authorized or not is_navigation(headers, request.method):
            return None
        status = failure.error.status
        if status == _NOT_SIGNED_IN:
            url = sign_in_url(self.site, resource, request)
            if request.method == "GET":
                return RedirectResponse(url, status_code=303, headers=NO_STORE)
            # What the person sent can't be sent again: they must do so themselves.
            return self.pages.error(request, failure, retry=url, kind="session")
        if status == _FORBIDDEN and not isinstance(failure.error, FromAnotherSite):
            return self.pages.error(request, failure, kind="forbidden")
        return self.pages.error(request, failure)


def sign_in_url(site: Site, resource: Resource, request: Request) -> str:
    """Where a login begins that comes back to the address of *request*.

    What is too long to be kept, or no plain text, is left out.
    """
    scope = request.scope
    path, query = scope.get("raw_path") or scope["path"].encode(), scope.get("query_string", b"")
    address = path + (b"?" + query if query else b"")
    fits = next((a for a in (address, path) if len(a) <= MAX_ADDRESS and a.isascii()), None)
    kept = fits or (resource.request_path or "/").encode()
    return f"{site.issuer}/{SIGN_IN.name}?to={quote(kept, safe='/')}"
