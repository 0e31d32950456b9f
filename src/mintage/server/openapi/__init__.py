"""The endpoints as an OpenAPI 3.1 document: the requests, and every kind of response.

Each module describes some of them: *paths* gives their paths, with the operations at each.
"""

from typing import Final

from mintage.server.capabilities import Capabilities
from mintage.server.grant_types.device_code import DeviceCodeGrant
from mintage.server.openapi import (
    devices,
    logins,
    pages,
    published,
    registration,
    resources,
    service,
    tokens,
)
from mintage.server.openapi.shapes import TEXT, Json, closed
from mintage.site.site import Site

_CODES: Final = (
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
    "unsupported_grant_type", "unsupported_response_type", "invalid_scope", "invalid_target",
    "invalid_redirect_uri", "invalid_client_metadata", "invalid_token", "insufficient_scope",
    "authorization_pending", "slow_down", "expired_token", "invalid_request_uri",
    "request_not_supported", "request_uri_not_supported",
    "access_denied", "login_required", "not_found", "server_error", "temporarily_unavailable",
    "too_many_requests", "invalid_dpop_proof", "use_dpop_nonce",
)  # fmt: skip


def describe(site: Site, capabilities: Capabilities, *, logo: bool = False) -> Json:
    """The document for the server *site*; *logo*: whether it serves one."""
    base = site.base_path
    paths: Json = {
        **logins.paths(site),
        **tokens.paths(base, capabilities),
        **service.paths(base, logo=logo),
        **pages.paths(site),
        **(devices.paths(site) if capabilities.accepts(DeviceCodeGrant) else {}),
        **(registration.paths(base) if capabilities.registration else {}),
        **published.paths(site, capabilities),
        **resources.paths(site),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mintage", "version": "1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": site.issuer.removesuffix(base)}],
        "paths": paths,
        "components": {
            "schemas": {
                "Error": closed({"error": {"enum": list(_CODES)}, "error_description": TEXT})
            },
            "securitySchemes": {
                "client": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "dpop": {"type": "http", "scheme": "dpop"},
            },
        },
    }
