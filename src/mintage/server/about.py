"""The page that a browser gets at an address that is for apps: what it is, and how to use it."""

import json
import shlex
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.server.account import account_path
from mintage.server.pages import Pages
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.web.preferences import wants_page


class About(msgspec.Struct, frozen=True):
    """The pages about a server and about each of its resources."""

    site: Site
    pages: Pages

    def server(self, request: Request) -> Response:
        """The page about the whole server."""
        places = [_place(resource) for resource in self.site.resources]
        return self.pages.show(
            request,
            "about",
            kind="server",
            title=self.pages.server_name,
            places=places,
            account=account_path(self.site) if self.site.account else None,
        )

    def resource(self, request: Request, resource: Resource, refusal: Response) -> Response:
        """*refusal*; for a browser a page about *resource*, with its status and its challenge."""
        if not for_page(request):
            return refusal
        response = self.pages.show(
            request,
            "about",
            status=refusal.status_code,
            kind="resource",
            title=resource.name or self.pages.server_name,
            places=[_place(resource)],
            account=None,
        )
        for name in ("www-authenticate", "x-request-id"):
            if (value := refusal.headers.get(name)) is not None:
                response.headers[name] = value
        return response


def for_page(request: Request) -> bool:
    """Whether a person's browser sent *request*: it wants a page, and has no token."""
    accept = ",".join(request.headers.getlist("accept"))
    return "authorization" not in request.headers and wants_page(request.method, accept)


def _place(resource: Resource) -> dict[str, Any]:
    url = resource.identifier
    name = _short_name(resource)
    for_vscode = json.dumps({"name": name, "type": "http", "url": url})
    return {
        "name": resource.name,
        "url": url,
        "claude": shlex.join(["claude", "mcp", "add", "--transport", "http", name, url]),
        "vscode": shlex.join(["code", "--add-mcp", for_vscode]),
        "json": json.dumps({"mcpServers": {name: {"url": url}}}, indent=2),
    }


def _short_name(resource: Resource) -> str:
    """A name for the lists of clients, of letters, digits and hyphens."""
    words = resource.name or resource.path
    parts = "".join(c if c.isascii() and c.isalnum() else " " for c in words.lower()).split()
    return "-".join(parts) or "server"
