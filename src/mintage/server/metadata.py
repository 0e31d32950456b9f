"""Discovery: the server's own metadata (RFC 8414) and that of its resources (RFC 9728).

The documents are built once. Each is served wherever the RFCs, and clients that read them
differently, look for it.
"""

from typing import Any
from urllib.parse import urlsplit

from mintage.site import Resource, Site


def authorization_server(site: Site) -> dict[str, Any]:
    """RFC 8414 §2, RFC 9207 §3, and the PKCE methods that MCP requires."""
    methods = ["none", "client_secret_basic", "client_secret_post"]
    document: dict[str, Any] = {
        "issuer": site.issuer,
        "authorization_endpoint": f"{site.issuer}/authorize",
        "token_endpoint": f"{site.issuer}/token",
        "registration_endpoint": f"{site.issuer}/register",
        "revocation_endpoint": f"{site.issuer}/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "authorization_response_iss_parameter_supported": True,
        "protected_resources": [resource.identifier for resource in site.resources],
    }
    if scopes := sorted({scope for resource in site.resources for scope in resource.scopes}):
        document["scopes_supported"] = scopes
    return document


def protected_resource(site: Site, resource: Resource) -> dict[str, Any]:
    """RFC 9728 §2."""
    document: dict[str, Any] = {
        "resource": resource.identifier,
        "authorization_servers": [site.issuer],
        "bearer_methods_supported": ["header"],
    }
    if resource.scopes:
        document["scopes_supported"] = list(resource.scopes)
    if resource.name is not None:
        document["resource_name"] = resource.name
    return document


def documents(site: Site) -> dict[str, dict[str, Any]]:
    """Every path at which a metadata document is served, with the document."""
    base = site.base_path
    server = authorization_server(site)
    found = {
        f"/.well-known/oauth-authorization-server{base}": server,
        f"/.well-known/openid-configuration{base}": server,
        f"{base}/.well-known/openid-configuration": server,
        f"{base}/.well-known/oauth-authorization-server": server,
    }
    for resource in site.resources:
        document = protected_resource(site, resource)
        path = urlsplit(site.metadata_url(resource)).path
        found[path] = document
        found[f"{path}/"] = document
    found.setdefault(
        "/.well-known/oauth-protected-resource", protected_resource(site, site.resources[0])
    )
    return found
