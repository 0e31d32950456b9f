"""Device authorization (RFC 8628): the endpoint of the device, and the page of the person."""

from mintage.endpoints import DEVICE, DEVICE_AUTHORIZATION
from mintage.grants.devices import ALPHABET
from mintage.server.openapi.shapes import (
    CLIENT_FIELDS,
    SECONDS,
    TEXT,
    Json,
    closed,
    form,
    html_pages,
    json_answers,
    query,
)
from mintage.site.site import Site


def paths(site: Site) -> Json:
    base = site.base_path
    return {
        f"{base}/{DEVICE_AUTHORIZATION.name}": {"post": _device_authorization()},
        f"{base}/{DEVICE.name}": {"get": _device(), "post": _device_post(site)},
    }


def _device_authorization() -> Json:
    answer = closed(
        {
            "device_code": TEXT,
            "user_code": TEXT | {"pattern": f"^[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}$"},
            "verification_uri": TEXT,
            "verification_uri_complete": TEXT,
            "expires_in": SECONDS,
            "interval": SECONDS,
        }
    )
    return {
        "summary": "A device asks for a code that a person types elsewhere (RFC 8628)",
        "security": [{}, {"client": []}],
        "requestBody": form(CLIENT_FIELDS | {"scope": TEXT, "resource": TEXT}, ()),
        "responses": json_answers(200, answer, refusals=(400, 401, 429, 503)),
    }


def _device() -> Json:
    return {
        "summary": "The page on which a person types a device's code",
        "parameters": query({"user_code": TEXT}, ()),
        "responses": html_pages(200, refusals=(400, 503)),
    }


def _device_post(site: Site) -> Json:
    fields: Json = {
        "form": TEXT,
        "user_code": TEXT,
        "decision": {"enum": ["approve", "deny"]},
        "upstream": {"enum": list(site.upstreams)} if site.upstreams else TEXT,
    }
    return {
        "summary": "The code, and the person's answer, from that page",
        "requestBody": form(fields, ("form",)),
        "responses": html_pages(200, refusals=(400, 403, 429, 502, 503)),
    }
