"""What serves the operation: health, and the pictures of the pages."""

from typing import Final

from mintage.endpoints import BRANDING, HEALTHZ, READYZ
from mintage.server.openapi.shapes import REFERENCE, TEXT, Json, document, json_refusals

_HEALTH: Final[Json] = {"const": {"status": "ok"}}


def paths(base: str, *, logo: bool) -> Json:
    found: Json = {
        f"{base}/{HEALTHZ.name}": {"get": document("Whether the process answers", _HEALTH)},
        f"{base}/{READYZ.name}": {"get": _ready()},
        f"{base}/{BRANDING.name}/icon.svg": {"get": _picture("icon", "image/svg+xml")},
    }
    if logo:
        found[f"{base}/{BRANDING.name}/logo"] = {"get": _picture("logo", "image/*")}
    return found


def _ready() -> Json:
    state = {"enum": ["ok", "unavailable"]}
    schema = {
        "type": "object",
        "properties": {
            "clock": TEXT,
            "notices": TEXT,
            "clock_ahead_seconds": {"type": "number"},
            "notification_queue_usage": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "additionalProperties": state,
    }
    said = {"headers": REFERENCE, "content": {"application/json": {"schema": schema}}}
    found = document("Whether a login could be served now", schema)
    found["responses"]["503"] = {"description": "What is missing"} | said
    return found


def _picture(name: str, media_type: str) -> Json:
    image = {media_type: {"schema": TEXT}}
    return {
        "summary": f"The {name} of the pages",
        "responses": {"200": {"description": "A picture", "headers": REFERENCE, "content": image}}
        | json_refusals(()),
    }
