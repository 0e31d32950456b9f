"""Discovery: the server's own metadata (RFC 8414) and that of its resources (RFC 9728).

The documents are built once. Each is served at every path where the RFCs, and clients that read
them differently, look for it.
"""

from typing import Any
from urllib.parse import urlsplit

from mintage.clients.client import AUTH_METHODS
from mintage.clients.keys import ALGORITHMS
from mintage.dpop.keys import ALGORITHMS as PROOF_ALGORITHMS
from mintage.endpoints import Feature, members
from mintage.server.capabilities import Capabilities
from mintage.site.resource import Resource
from mintage.site.site import Site


def authorization_server(site: Site, capabilities: Capabilities) -> dict[str, Any]:
    """RFC 8414 §2, RFC 9126 §5, RFC 9449 §5.1, CIMD, and what each grant type adds."""
    methods, algorithms = list(AUTH_METHODS), list(ALGORITHMS)
    features: set[Feature] = set()
    if site.logins:
        features.add("logins")
    if capabilities.keys:
        features.add("public_keys")
    if capabilities.status_list:
        features.add("status_list")
    if capabilities.registration:
        features.add("registration")
    document: dict[str, Any] = {
        "issuer": site.issuer,
        **members(site.issuer, features),
        "grant_types_supported": [grant_type.name for grant_type in capabilities.grant_types],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": [m for m in methods if m != "none"],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "client_id_metadata_document_supported": capabilities.documents,
        # Their defaults say otherwise, and a pushed request_uri needs neither (RFC 9126 §5).
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_pushed_authorization_requests": capabilities.must_push,
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "protected_resources": [resource.identifier for resource in site.resources],
    }
    if not site.logins:
        # Nothing but a refusal is at the authorization endpoint. RFC 8414 §2 lets it be left out,
        # but the MCP SDKs take no document without it, also for client_credentials.
        document["response_types_supported"] = []
    for grant_type in capabilities.grant_types:
        document |= grant_type.metadata(site.issuer, capabilities.assertions)
    if capabilities.signing_alg is not None:  # RFC 9701 §7
        document["introspection_signing_alg_values_supported"] = [capabilities.signing_alg]
    if site.upstreams:
        document["acr_values_supported"] = [f"idp:{name}" for name in site.upstreams]
    if site.scopes:
        document["scopes_supported"] = sorted(site.scopes)
    return document


def protected_resource(site: Site, resource: Resource) -> dict[str, Any]:
    """RFC 9728 §2."""
    document: dict[str, Any] = {
        "resource": resource.identifier,
        "authorization_servers": [site.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
    }
    if resource.dpop_required:
        document["dpop_bound_access_tokens_required"] = True
    if resource.scopes:
        document["scopes_supported"] = list(resource.scopes)
    if resource.name is not None:
        document["resource_name"] = resource.name
    return document


def documents(site: Site, capabilities: Capabilities) -> dict[str, dict[str, Any]]:
    """Every path at which a metadata document is served, with the document."""
    base = site.base_path
    server = authorization_server(site, capabilities)
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
        # RFC 9728 §3.3: it must name the very URL that it was derived from.
        found[f"{path}/"] = document | {"resource": f"{resource.identifier}/"}
    found.setdefault(
        "/.well-known/oauth-protected-resource", protected_resource(site, site.resources[0])
    )
    return found
