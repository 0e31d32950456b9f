"""``mintage openapi``: the endpoints, described for other programs."""

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from mintage.admin import openapi as admin_api
from mintage.cli.settings_file import VARIABLE
from mintage.server.capabilities import CORE_GRANT_TYPES, Capabilities
from mintage.server.openapi import describe
from mintage.settings.grant_types import TABLES
from mintage.settings.load import Outline, load_outline
from mintage.site.resource import Resource
from mintage.site.site import Site

_EXAMPLE: Final = "https://auth.example.com"
_ADMIN: Final = "http://127.0.0.1:8081"


def openapi(
    *,
    config: Annotated[
        Path | None,
        Parameter(
            env_var=VARIABLE, help="Describe the server with these settings, not an example."
        ),
    ] = None,
    admin: Annotated[bool, Parameter(help="Describe the admin API instead.", negative="")] = False,
) -> int:
    """Print an OpenAPI 3.1 document of all endpoints.

    It lists the requests and every kind of response of each endpoint. The server
    itself does not serve it.
    """
    if admin:
        found = admin_api.describe(_ADMIN)
    else:
        found = example() if config is None else _of(load_outline(config))
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())  # noqa: T201
    return 0


def example() -> dict[str, Any]:
    """The endpoints of a server with one resource and all that may be on."""
    resource = Resource(path="/mcp", identifier=f"{_EXAMPLE}/mcp", scopes=(), browser=True)
    site = Site(issuer=_EXAMPLE, resources=(resource,))
    everything = Capabilities(
        registration=True,
        documents=True,
        keys=True,
        status_list=True,
        grant_types=(*CORE_GRANT_TYPES, *TABLES.values()),
    )
    return describe(site, everything, logo=True)


def _of(outline: Outline) -> dict[str, object]:
    return describe(outline.site, outline.capabilities, logo=outline.logo)
