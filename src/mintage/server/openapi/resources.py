"""The resources at the gateway, with its own answers. All others are their backends'."""

from mintage.server.openapi.shapes import PROOF, Json, json_refusals, with_nonce
from mintage.site.site import Site


def paths(site: Site) -> Json:
    return {
        site.base_path + resource.identifier.removeprefix(site.issuer): {
            method: _resource() for method in ("get", "post", "delete")
        }
        for resource in site.resources
    }


def _resource() -> Json:
    passed = {"description": "The backend's own answer"}
    refused = json_refusals((400, 401, 403, 429, 502, 503, 504))
    return {
        "summary": "A request that the gateway passes on to its backend",
        "security": [{"bearer": []}, {"dpop": []}],
        "parameters": [PROOF],
        "responses": with_nonce({"default": passed} | refused),
    }
