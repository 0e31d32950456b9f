"""What the server publishes: its keys, the ended grants, and the metadata."""

from mintage.endpoints import JWKS, STATUS_LIST, STATUS_LISTS
from mintage.jwt.status_list import MEDIA_TYPE
from mintage.server.capabilities import Capabilities
from mintage.server.metadata import documents
from mintage.server.openapi.shapes import (
    OBJECT,
    REFERENCE,
    TEXT,
    TEXTS,
    Json,
    closed,
    document,
    json_refusals,
)
from mintage.site.site import Site


def paths(site: Site, capabilities: Capabilities) -> Json:
    base = site.base_path
    found: Json = {}
    if capabilities.keys:
        key_set = closed({"keys": {"type": "array", "items": OBJECT}})
        found[f"{base}/{JWKS.name}"] = {"get": document("The public keys (RFC 7517)", key_set)}
    if capabilities.status_list:
        found[f"{base}/{STATUS_LIST.name}"] = {"get": _status_list()}
        lists = closed({"status_lists": TEXTS})
        found[f"{base}/{STATUS_LISTS.name}"] = {"get": document("The status lists", lists)}
    for path, content in documents(site, capabilities).items():
        summary = "Metadata of a resource (RFC 9728)"
        if "issuer" in content:
            summary = "Metadata of this server (RFC 8414)"
        found[path] = {"get": document(summary, {"const": content})}
    return found


def _status_list() -> Json:
    headers = REFERENCE | {
        "ETag": {"required": True, "schema": TEXT},
        "Cache-Control": {"required": True, "schema": TEXT},
    }
    signed = {"description": "The list, signed", "headers": headers}
    return {
        "summary": "The ended grants, as a status list token",
        "parameters": [
            {"name": "If-None-Match", "in": "header", "required": False, "schema": TEXT}
        ],
        "responses": {
            "200": signed | {"content": {MEDIA_TYPE: {"schema": TEXT}}},
            "304": {"description": "The client has this list", "headers": headers},
        }
        | json_refusals((501, 503)),
    }
