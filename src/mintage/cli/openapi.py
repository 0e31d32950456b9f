"""``mintage openapi``: the endpoints, described for other programs."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from mintage.app.opening import site_of
from mintage.server.metadata import ClientsAccepted
from mintage.server.openapi import describe
from mintage.settings.load import Config, load
from mintage.site import Resource, Site

_EXAMPLE: Final = "https://auth.example.com"


def openapi(
    *,
    config: Annotated[
        Path | None, Parameter(help="Describe the server with these settings, not an example.")
    ] = None,
) -> int:
    """Print an OpenAPI 3.1 document: each endpoint, what may be sent, and every kind of answer.

    The server itself does not serve it.
    """
    if config is None:
        site = Site(issuer=_EXAMPLE, resources=(Resource(identifier=f"{_EXAMPLE}/mcp", scopes=()),))
        found = describe(site, ClientsAccepted(registration=True, documents=True), keys=True)
    else:
        found = _of(load(config))
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())  # noqa: T201
    return 0


def _of(config: Config) -> dict[str, object]:
    accepted = ClientsAccepted(
        registration=config.registration.enabled, documents=config.documents.enabled
    )
    return describe(site_of(config), accepted, keys=bool(config.signing_keys))
